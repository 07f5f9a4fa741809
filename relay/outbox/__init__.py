"""Holds the relay's side of Postgres: sessions, the leader's lock, the outbox table and the relay's own tables.

A leader holds one session with an advisory lock and uses it at least once a second. If the session breaks, the lock
goes with it, and the leader stops publishing (`LeadershipLost`). What the database does not allow is `Refused`, with
the missing right or setting.
"""
