"""Turns documents of the read model into messages of the contract."""
