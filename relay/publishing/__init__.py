"""Publishes events from a source to the stream, as the one leader.

    loop: stand by for the lock, lead, begin sessions ─> session: claim the stream, read, publish, confirm

A session ends with its first error. Then the loop checks that the relay still holds the lock, waits, and begins the
next session.
Only the loop writes `RelayStatus`.
"""
