"""Translates between the contract's messages and the domain's values, and encodes the outbox's JSON texts."""
