"""Recognises an answer whose caller has left: no fault of the server, and nobody receives it."""

from __future__ import annotations

import logging

#: Where gRPC logs what a method let out.
_GRPC = "grpc._cython.cygrpc"


def found_nobody(error: BaseException | None) -> bool:
    """Whether `error` is gRPC's error for an answer whose caller has left. It has no public name."""
    return type(error).__name__ == "ExecuteBatchError"


def concerns_us(record: logging.LogRecord) -> bool:
    """Whether a log record of gRPC reports more than an answer whose caller has left.

    gRPC logs those as errors with a stack trace, for example after short deadlines.
    """
    return record.exc_info is None or not found_nobody(record.exc_info[1])


def log_what_concerns_us() -> None:
    """Keeps such answers out of this process's log."""
    logging.getLogger(_GRPC).addFilter(concerns_us)
