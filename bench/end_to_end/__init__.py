"""Measures the time from a command to the query that shows it, beside the cost of each stage alone."""
