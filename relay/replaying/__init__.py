"""Replays an outbox into a stream of its own, so that a new consumer can begin with events that `ORDERS` may have lost.

    rows of one snapshot, by position ─> messages as in `ORDERS` ─> fenced publishes to the replay's stream

A replay only reads the database, in read-only transactions. It takes neither the leader's lock nor a slot, and it
writes neither to the relay's tables nor to the relay's stream. Its position is in the messages of its own stream.
"""
