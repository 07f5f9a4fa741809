"""Defines the error for an event that cannot be projected, and its reasons."""

from __future__ import annotations

from enum import StrEnum


class Unprojectable(StrEnum):
    """Why an event cannot be projected. Parked events store the reason, so values never change."""

    #: The message or its payload violates the contract.
    MALFORMED = "MALFORMED"
    #: Headers and payload are of different orders, versions or events.
    CONTRADICTORY = "CONTRADICTORY"
    #: A newer release wrote the payload, in a schema version that this one does not know.
    SCHEMA_UNKNOWN = "SCHEMA_UNKNOWN"
    #: The store refuses the document.
    UNMAPPABLE = "UNMAPPABLE"
    #: The store has another event of the same order, version and source epoch.
    CONFLICTING = "CONFLICTING"
    #: The relay could not publish the event, or an earlier one of its order. The stream has only a notice of it.
    PARKED_BY_RELAY = "PARKED_BY_RELAY"


class ProjectionError(ValueError):
    """The event cannot be projected, and no retry by this release can. `detail` is the field and the problem."""

    def __init__(self, reason: Unprojectable, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
