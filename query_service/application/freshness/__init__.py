"""Waits until an answer contains what its caller has written, or reports how stale it is.

A token names orders and versions. An answer by id is fresh once each version is applied; a list, once each is
searchable.
"""
