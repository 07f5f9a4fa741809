"""The write side: commands that change orders, in one Postgres transaction with the events that say so."""
