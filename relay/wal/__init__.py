"""Reads events from Postgres's write-ahead log, over a replication slot.

The log delivers whole transactions in commit order. A checkpoint is a position in the log together with the snapshot
that was taken there. The slot is confirmed only up to checkpoints that the stream holds. If the log cannot be read now,
`LogUnavailable` says why.
"""
