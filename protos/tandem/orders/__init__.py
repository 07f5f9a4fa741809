"""The client package of the order system: generated stubs in `v1`, and a thin client around them."""
