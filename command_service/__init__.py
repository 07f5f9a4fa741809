"""Accepts commands that change orders, and stores each change with its event in one Postgres transaction."""
