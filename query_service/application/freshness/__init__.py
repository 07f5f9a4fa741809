"""Waits until an answer shows what its caller has written, or says how stale it is.

A token names orders and versions. By id an answer is fresh once each version is applied; a list, once it is searchable.
"""
