"""Holds what the relay carries, and its position: values without I/O.

An `OutboxEvent` is a row of the outbox, a `Message` is what is published of it, and a `Cursor` is the position after an
event. A barrier is a message without an event: everything committed before its source time precedes it in the stream.
"""
