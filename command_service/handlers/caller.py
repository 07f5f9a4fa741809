"""Who calls, and in which trace: read from the connection and the call's metadata."""

from __future__ import annotations

import re
import time
from typing import Any

import grpc

ANONYMOUS = "anonymous"
Context = grpc.aio.ServicerContext[Any, Any]
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def principal_of(context: Context) -> str:
    """The identity that the transport authenticated, else `anonymous`. Metadata is never believed."""
    identities = context.peer_identities()
    return next(iter(identities)).decode() if identities else ANONYMOUS


def deadline_of(context: Context) -> float | None:
    """When the caller stops waiting, on the clock of `time.monotonic`; None when they set no deadline."""
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


def traceparent_of(context: Context) -> str:
    """The caller's W3C trace context, or empty when there is none or it is malformed."""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(value, str) and _TRACEPARENT.fullmatch(value):
            return value
    return ""
