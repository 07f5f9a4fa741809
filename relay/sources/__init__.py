"""Finds events by polling the outbox, or by reading the log and polling whenever the log cannot be read.

Both sources implement `events.source.Source`. After `resume(cursor)` each `read` returns the next committed events. No
event is lost, none is returned twice, and the events of one aggregate come in their order.
"""
