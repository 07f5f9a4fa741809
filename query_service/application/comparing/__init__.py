"""Compares a read model with the write side: which orders are not what the write side has."""
