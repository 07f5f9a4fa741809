"""Reads the caller's identity, deadline and trace context from a call."""

from __future__ import annotations

import re
import time

from service_runtime.edge.service_methods import Context

ANONYMOUS = "anonymous"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def principal_of(context: Context) -> str:
    """Returns the identity that the transport authenticated, or `anonymous`. Metadata is ignored: anyone can set it."""
    identities = context.peer_identities()
    return next(iter(identities)).decode() if identities else ANONYMOUS


def deadline_of(context: Context) -> float | None:
    """Returns the caller's deadline as a time of `time.monotonic`, or None if the call has none."""
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


def traceparent_of(context: Context) -> str:
    """Returns the caller's W3C trace context, or an empty text if it is missing or malformed."""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(value, str) and _TRACEPARENT.fullmatch(value):
            return value
    return ""
