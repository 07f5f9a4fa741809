"""The order system: stubs in `v1`, and the thin client beside them."""
