"""The read stores, one module each, named by the level of separation they stand for."""
