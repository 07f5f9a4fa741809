"""Receives events: sets up the durable consumer of the stream, pulls its messages, and runs the projector."""
