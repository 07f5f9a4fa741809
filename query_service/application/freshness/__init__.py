"""Makes callers read their writes: an answer waits until it shows what its caller has written, or says how stale it is.

The caller's token lists orders and versions. A look-up by id is fresh enough once each version is applied. A list is
fresh enough once each version is searchable.
"""
