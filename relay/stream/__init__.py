"""Publishes to JetStream with fences, and reads back what the stream holds.

A session reads the stream's last message and publishes after it. Each message or batch contains the sequence at which
the stream must end. So if somebody else has written, the stream refuses all of them. The first error closes the session
(`SessionClosed`), and the next session reads the stream's end again.
"""
