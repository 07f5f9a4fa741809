"""Converts the freshness of an answer to the contract's `ReadInfo`."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.freshness.view import AnswerInfo

_MICROSECONDS = 1_000_000


def read_info(info: AnswerInfo, now: int) -> contract.ReadInfo:
    """Returns the message. It has neither `as_of` nor staleness before the first barrier.

    `now` is in microseconds since 1970.
    """
    message = contract.ReadInfo()
    put_read_info(message, info, now)
    return message


def put_read_info(message: contract.ReadInfo, info: AnswerInfo, now: int) -> None:
    """Fills a message, which may be a part of a larger one; see `read_info`.

    A message that is given to another one is copied by encoding and parsing it.
    """
    message.SetInParent()
    message.generation = info.generation
    if info.stale:
        message.stale = True
    if info.parked:
        message.parked = True
    if info.not_final:
        message.not_final = True
    if info.as_of is not None:
        _put(message.as_of, info.as_of)
        _put(message.staleness, max(0, now - info.as_of))


def duration_message(microseconds: int) -> Duration:
    """Converts a number of microseconds, not negative, to a Duration."""
    message = Duration()
    _put(message, microseconds)
    return message


def _put(message: Duration | Timestamp, microseconds: int) -> None:
    message.seconds, rest = divmod(microseconds, _MICROSECONDS)
    message.nanos = rest * 1000


def microseconds_of(timestamp: Timestamp) -> int:
    """Converts a Timestamp to microseconds since 1970, truncated."""
    return timestamp.seconds * _MICROSECONDS + timestamp.nanos // 1000
