"""Asks the write side's export service."""
