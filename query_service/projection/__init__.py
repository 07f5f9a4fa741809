"""Turns a stream message into the documents of the read model: pure functions without a clock.

They import the standard library and the currencies only.
"""
