"""Answers each question of the contract, in a module of its own.

The module says how the question waits for freshness, what it reads from the store, and what its answer is.
"""
