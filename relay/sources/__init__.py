"""Finds events: by polling the outbox, or from the log, with polling whenever the log cannot be read.

Both implement `events.source.Source`: after `resume(cursor)` each `read` returns the next committed events, none twice
and none lost, those of one aggregate in their order.
"""
