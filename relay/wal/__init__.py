"""Reads events from Postgres's write-ahead log, over a replication slot.

The log delivers whole transactions in commit order. A checkpoint is a place in the log together with the snapshot taken
there. The slot is confirmed only up to checkpoints that the stream holds. `LogUnavailable` says why the log cannot be
read now.
"""
