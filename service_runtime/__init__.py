"""Gives every process what it needs to start, be observed and stop. Knows no orders and imports no service."""
