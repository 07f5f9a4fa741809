"""Measures how fast the relay is, compared with a peer and with the limits of Postgres and NATS themselves."""
