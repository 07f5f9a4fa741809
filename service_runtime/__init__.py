"""Holds what every process needs to start, to be observed, and to stop. It knows no orders and imports no service."""
