"""Carries the rows of an outbox table into a JetStream stream, each once and in the order of its aggregate.

The relay is generic: its settings give the table, the columns and the subject template, and it does not know what the
events mean.

    sources (wal, polling the outbox) ─> publishing ─> stream

Each package describes its rules in its `__init__`. A package imports only packages on lower lines:

    adoption, lag         an operator's command, and the measurement of the lag
    publishing            the loop of the one leader, and its sessions
    parking               events that can never be published
    sources               polling, and the switch between polling and the log
    wal, stream           the write-ahead log; JetStream
    outbox                Postgres: the table, the lock, the relay's own tables
    events                values without I/O: event, cursor, message

The relay's position is in the stream: every message carries the cursor after its event, so one write stores an event
and the position after it. The next leader reads only the stream's last message, and resumes after that.
"""
