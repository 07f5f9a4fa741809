"""Remembers which orders are parked, so that lists report it without asking the store each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class ParkedOrders:
    """Order id → parked versions. Read from the store at intervals, and updated by notices at once."""

    def __init__(self) -> None:
        self._versions: dict[str, set[int]] = {}

    def __len__(self) -> int:
        return len(self._versions)

    def replace(self, parked: Mapping[str, Sequence[int]]) -> None:
        """Replaces everything by what the store has."""
        self._versions = {order_id: set(versions) for order_id, versions in parked.items()}

    def add(self, order_id: str, version: int) -> None:
        """Adds a version that was parked just now."""
        self._versions.setdefault(order_id, set()).add(version)

    def any_of(self, shown: Iterable[tuple[str, int]]) -> bool:
        """Whether one of these orders, given as id and shown version, lacks a parked version."""
        return bool(self._versions) and any(
            parked > version for order_id, version in shown for parked in self._versions.get(order_id, ())
        )
