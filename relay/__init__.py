"""Carries the rows of an outbox table into a JetStream stream, each once and in the order of its aggregate.

Generic: configuration names the table, its columns and the subject template; nothing here knows what the events mean.

    sources (wal, polling the outbox) ─> publishing ─> stream

Rooms, each with its protocol in its `__init__`; imports go from top to bottom only:

    adoption, lag         commands and measurements over all that follows
    publishing            the loop of the one leader, and its sessions
    parking               events that can never be published
    sources               polling, the log, or the one that works now
    wal, stream           the write-ahead log; JetStream
    outbox                Postgres: the table, the lock, the relay's own tables
    events                values without I/O: event, cursor, message

The relay's position is in the stream: every message carries the cursor after it, so one write stores an event and the
position after it. The next leader reads one message, the last one, and resumes after it.
"""
