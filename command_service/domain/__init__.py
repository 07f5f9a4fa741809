"""Defines what an order is and what may happen to it.

The code is pure: time and ids are arguments. It imports only the standard library and the client package's currencies.
"""
