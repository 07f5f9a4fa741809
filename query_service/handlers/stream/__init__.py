"""Receives events: the durable consumer of the stream, how its messages are pulled, and the projector over it."""
