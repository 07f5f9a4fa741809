"""Computes figures by group, exactly, from aggregations that return every group."""
