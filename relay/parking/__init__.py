"""Events that can never be published, and what is done about them.

Such an event parks its aggregate: it and every later event of that aggregate are written to a table before the cursor
passes them. An operator asks for a retry or a discard by a row; the leader carries it out.
"""
