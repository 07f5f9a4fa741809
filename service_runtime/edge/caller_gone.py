"""An answer that finds its caller gone: no fault of ours, and nobody is left to hear of it."""

from __future__ import annotations

import logging

#: Where gRPC logs what a method let out.
_GRPC = "grpc._cython.cygrpc"


def found_nobody(error: BaseException | None) -> bool:
    """Whether `error` is what gRPC raises when it cannot send because the caller has left; it has no public name."""
    return type(error).__name__ == "ExecuteBatchError"


def concerns_us(record: logging.LogRecord) -> bool:
    """Whether a record of gRPC's is more than an answer that found its caller gone, as answers to short deadlines do.

    gRPC logs that as an error with a stack trace.
    """
    return record.exc_info is None or not found_nobody(record.exc_info[1])


def log_what_concerns_us() -> None:
    """Keeps such answers out of the log of this process."""
    logging.getLogger(_GRPC).addFilter(concerns_us)
