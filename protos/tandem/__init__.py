"""Tandem's contract."""

__version__ = "0.1.0"
