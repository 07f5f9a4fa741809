"""Between the processes of the query service, over NATS: what was applied, and requests to make it searchable.

A notice is a hint: it makes a process look sooner and proves nothing.
"""
