"""Holds the contract's stubs in `v1`, and a thin client beside them."""
