"""Recognises the error for an answer whose caller has left. It is no fault of the server."""

from __future__ import annotations

import logging

#: The logger of gRPC for exceptions that a method raised.
_GRPC = "grpc._cython.cygrpc"


def found_nobody(error: BaseException | None) -> bool:
    """Returns whether `error` is gRPC's error for an answer whose caller has left. That error has no public name."""
    return type(error).__name__ == "ExecuteBatchError"


def concerns_us(record: logging.LogRecord) -> bool:
    """Returns whether a log record of gRPC is about anything else than an answer whose caller has left.

    gRPC logs such answers as errors with a stack trace, for example after short deadlines.
    """
    return record.exc_info is None or not found_nobody(record.exc_info[1])


def log_what_concerns_us() -> None:
    """Keeps records about answers whose caller has left out of this process's log."""
    logging.getLogger(_GRPC).addFilter(concerns_us)
