"""Gives orders to fill a stack with, made up or from a file, as requests of the contract's `ImportOrders`."""
