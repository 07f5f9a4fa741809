"""Translates between the contract's messages and the domain's values, and writes the outbox's JSON texts."""
