"""Tandem's contract."""
