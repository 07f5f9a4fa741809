"""Orders from elsewhere, as requests of the contract's `ImportOrders`."""
