"""Read your writes: an answer waits until it shows what its caller has written, or it says how stale it is.

A token names orders and versions. A look-up by id is fresh once each version is applied. A list is fresh once each
version is searchable.
"""
