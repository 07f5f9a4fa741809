"""Defines the values that the relay works with: events, messages and cursors. Nothing here does I/O.

An `OutboxEvent` is a row of the outbox, a `Message` is what the relay publishes for it, and a `Cursor` is the position
after an event. A barrier is a message without an event. If it has a time, every event committed before that source time
is earlier in the stream.
"""
