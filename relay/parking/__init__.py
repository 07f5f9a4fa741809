"""Parks events that can never be published, and retries or discards them.

Such an event parks its aggregate: it and every later event of that aggregate are written to a table before the cursor
passes them. An operator requests a retry or a discard by a row; the leader executes it.
"""
