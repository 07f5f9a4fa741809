"""Compares the cost of a command with an empty call and with its SQL statements alone."""
