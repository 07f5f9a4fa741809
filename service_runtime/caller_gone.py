"""An answer that finds its caller gone: no fault of ours, and nobody is left to hear of it."""

from __future__ import annotations


def found_nobody(error: BaseException | None) -> bool:
    """Whether `error` is what gRPC raises when it cannot send because the caller has left; it has no public name."""
    return type(error).__name__ == "ExecuteBatchError"
