"""Measures how fast the relay is, beside a peer and beside the limits of Postgres and NATS themselves."""
