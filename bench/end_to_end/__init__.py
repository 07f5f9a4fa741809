"""Measures the time from a command to a query that shows its effect, and compares it with each stage's cost alone."""
