"""Lists why a command can fail, except for the domain's refusals. The messages are for the caller."""

from __future__ import annotations


class CommandError(Exception):
    """A command ended before the domain decided, or could not be stored. The message contains no driver's text."""


class RequestIdReused(CommandError):  # noqa: N818 - the names say what happened
    """The request id was used before, with another request."""

    def __init__(self) -> None:
        super().__init__("this request id was used before with another request; use a new one")


class OrderTooLarge(CommandError):  # noqa: N818
    """The order's event is too large to be published, because the limit was lowered after the order was accepted.

    `size` and `limit` are in bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the order's event takes {size} bytes, at most {limit} can be published;"
            " the operator must raise COMMAND_MAX_EVENT_BYTES to what it was when the order was accepted"
        )
        self.size, self.limit = size, limit


class Overloaded(CommandError):  # noqa: N818
    """The service had no free capacity within the time that a caller should wait."""

    def __init__(self) -> None:
        super().__init__("the service is at its limit")


class DependencyUnavailable(CommandError):  # noqa: N818
    """A store failed or cannot be reached. The command may have taken effect; a retry with its request id finds out."""

    def __init__(self, dependency: str, message: str = "") -> None:
        super().__init__(message or f"{dependency} cannot be reached; repeat the request with its id")
        self.dependency = dependency


class Stopping(DependencyUnavailable):
    """This process is stopping. Another process serves the retry."""

    def __init__(self) -> None:
        super().__init__("command_service", "this process stops; send what is left again, it goes to another one")


class ConnectionBroken(DependencyUnavailable):
    """The database connection broke during a unit of work. A retry on another connection may succeed."""


class Conflict(CommandError):  # noqa: N818
    """Other transactions interfered with the command. A retry may succeed."""

    def __init__(self) -> None:
        super().__init__("other commands on the same order got in the way; repeat the request with its id")


class TimedOut(CommandError):  # noqa: N818
    """The store did not answer within the longest time that a call may take."""

    def __init__(self) -> None:
        super().__init__("the command took longer than any call may; repeat the request with its id")
