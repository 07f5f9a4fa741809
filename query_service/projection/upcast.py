"""Converts the payload of an old event to the shape that this release projects.

A payload's shape has a number (`schema_version` in the event's headers). A change of the contract that old readers
could not ignore gets the next number, and a step here from the previous one. Stored events never change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from query_service.projection.errors import ProjectionError, Unprojectable

Payload = dict[str, Any]
CURRENT_SCHEMA_VERSION = 1
#: Schema version → the step that converts a payload from it to the next version.
STEPS: Mapping[int, Callable[[Payload], Payload]] = {}


def upcast(
    payload: Payload,
    schema_version: int,
    *,
    steps: Mapping[int, Callable[[Payload], Payload]] = STEPS,
    current: int = CURRENT_SCHEMA_VERSION,
) -> Payload:
    """Returns the payload in the current shape. Raises ProjectionError for an unknown schema version."""
    if not 1 <= schema_version <= current:
        raise ProjectionError(
            Unprojectable.SCHEMA_UNKNOWN, f"schema version {schema_version} is not within 1 to {current}"
        )
    for version in range(schema_version, current):
        payload = steps[version](payload)
    return payload
