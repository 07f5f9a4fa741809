"""Turns a message of the stream into documents of the read model, by pure functions without a clock.

They import only the standard library, and the contract's table of currencies.
"""
