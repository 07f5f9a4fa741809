"""Determines, for all methods, how long a query may wait and how large its answer may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import methodcaller
from typing import TypeVar

from tandem.orders.consistency_token import decode
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.freshness.await_versions import Consistency

Part = TypeVar("Part")
DEFAULT_MAX_WAIT_SECONDS = 2.0
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, DEFAULT_GROUPS, DEFAULT_PAYMENT_GROUPS = 50, 200, 100, 1000
#: The share of the remaining time that a query may wait. The rest is for the last read.
_SHARE_OF_DEADLINE = 0.8
#: The most bytes of a list. Callers accept messages of 4 MiB; the rest is for the other fields.
MAX_LIST_BYTES = 3_500_000
#: The most bytes that tag and length add to a list element.
_FRAME_BYTES = 6


def consistency(options: contract.ReadOptions, remaining: float) -> Consistency:
    """Returns how fresh the caller wants the answer. `remaining`: the seconds left to answer. Raises MalformedToken."""
    max_wait = DEFAULT_MAX_WAIT_SECONDS
    if options.HasField("max_wait"):
        max_wait = options.max_wait.seconds + options.max_wait.nanos / 1e9
    max_wait = min(max_wait, remaining * _SHARE_OF_DEADLINE)
    stale_allowed = options.on_timeout == contract.ON_TIMEOUT_RETURN_STALE
    if not options.consistency_token:
        return Consistency(max_wait=max_wait, stale_allowed=stale_allowed)
    token = decode(options.consistency_token)
    return Consistency(token.source_epoch, token.versions, max_wait, stale_allowed)


def page_size(asked: int) -> int:
    """Returns how many elements a page has for a requested `page_size`: 0 is the default, too many is the maximum."""
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def that_fit(
    parts: Iterable[Part], size: Callable[[Part], int] = methodcaller("ByteSize"), most: int = MAX_LIST_BYTES
) -> list[Part]:
    """Returns as many of the first parts as fit into `most` bytes, but at least one if there is any.

    `size` returns the encoded bytes of a part. The default is for messages.
    """
    fitting: list[Part] = []
    for part in parts:
        most -= size(part) + _FRAME_BYTES
        if most < 0 and fitting:
            break
        fitting.append(part)
    return fitting
