"""Parks events that can never be published, and retries or discards them.

Such an event parks its aggregate: the event, and every later event of that aggregate, is written to the table
`outbox_parked` before a cursor after it is published. An operator requests a retry or a discard by a row in another
table, and the leader executes the request.
"""
