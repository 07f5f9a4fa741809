"""Converts documents of the read model to messages of the contract, and requests to criteria."""
