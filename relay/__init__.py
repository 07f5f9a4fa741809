"""Carries the rows of an outbox table into a JetStream stream, each once and in the order of its aggregate.

Generic: configuration names the table, its columns and the subject template; nothing here knows what the events mean.

    Source (switching_source: wal_source | poll_source) -> publish_loop -> Sink (jetstream_sink)

The relay's position lives in the stream: every message carries the cursor that stands behind it, so an event and the
position after it are stored by one write. Whoever leads next reads one message, the last one, and goes on behind it.
"""
