"""Holds one module per query: what it asks of the store and of freshness, and its answer."""
