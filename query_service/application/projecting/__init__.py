"""Applies events to the store: which are new, which are repeated, which are parked, and what may be acknowledged."""
