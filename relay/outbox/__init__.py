"""Holds the relay's side of Postgres: sessions, the leader's lock, the outbox table and the relay's own tables.

A leader holds one session with an advisory lock and uses the session at least once a second. If the session breaks, the
lock is lost too, and the leader stops publishing (`LeadershipLost`). If a right or a setting of the database is
missing, `Refused` says which.
"""
