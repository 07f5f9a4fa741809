"""Stores orders in PostgreSQL: the write model's tables, and the unit of work over them."""
