"""The secrets that a cluster needs before the first roll-out: Secret -> keys. Pods read each key as a file.

A key is the name of a setting in lower case. The repository contains no values.
"""

from __future__ import annotations

from collections.abc import Mapping

_QUERY = frozenset({"query_elasticsearch_url", "query_nats_url"})

OUTSIDE_SECRETS: Mapping[str, frozenset[str]] = {
    "command-secrets": frozenset({"command_database_url"}),
    "command-migrate-secrets": frozenset({"command_database_url"}),
    "relay-secrets": frozenset({"relay_database_url", "relay_nats_url"}),
    "query-serve-secrets": _QUERY,
    "query-project-secrets": _QUERY,
    "query-migrate-secrets": _QUERY,
    "audit-notary-secrets": frozenset({"audit_database_url", "audit_nats_url", "audit_key"}),
    "audit-migrate-secrets": frozenset({"audit_database_url"}),
}
