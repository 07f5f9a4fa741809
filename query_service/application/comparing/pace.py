"""Declares how a round is slowed down."""

from __future__ import annotations

from typing import Protocol


class Pace(Protocol):
    """Slows a round down."""

    async def rest(self) -> None:
        """Waits between two steps, so that the round stays within its budget."""


class FullPace:
    """A pace without rests."""

    async def rest(self) -> None:
        """See Pace."""
