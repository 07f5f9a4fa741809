"""Turns a stream message into the documents of the read model: pure functions, standard library only, no clock."""
