"""Compares all copies of orders with each other: journal, state tables, stream, read model and audit log."""
