"""Says why an event cannot become documents."""

from __future__ import annotations

from enum import StrEnum


class Unprojectable(StrEnum):
    """Stable reasons, stored with a parked event."""

    #: The message or its payload is not what the contract says.
    MALFORMED = "MALFORMED"
    #: Headers and payload name different orders, versions or events.
    CONTRADICTORY = "CONTRADICTORY"
    #: Written by a newer release than this one understands.
    SCHEMA_UNKNOWN = "SCHEMA_UNKNOWN"
    #: The store refuses the document.
    UNMAPPABLE = "UNMAPPABLE"
    #: The store holds another event under the same order, version and source epoch.
    CONFLICTING = "CONFLICTING"


class ProjectionError(ValueError):
    """No retry can project the event as it is. `reason` is stable; the text says which field and why."""

    def __init__(self, reason: Unprojectable, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
