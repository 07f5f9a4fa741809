"""Documents of the read model as messages of the contract."""
