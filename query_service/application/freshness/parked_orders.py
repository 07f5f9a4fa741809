"""What this process knows of parked orders: lists say it of the orders they show, without asking each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class ParkedOrders:
    """Order id → parked versions. Learnt from the store now and then, and from notices at once."""

    def __init__(self) -> None:
        self._versions: dict[str, set[int]] = {}

    def __len__(self) -> int:
        return len(self._versions)

    def replace(self, parked: Mapping[str, Sequence[int]]) -> None:
        """These are all, says the store."""
        self._versions = {order_id: set(versions) for order_id, versions in parked.items()}

    def add(self, order_id: str, version: int) -> None:
        """A version was parked just now."""
        self._versions.setdefault(order_id, set()).add(version)

    def any_of(self, shown: Iterable[tuple[str, int]]) -> bool:
        """Whether one of these orders, id and shown version, lacks a parked version."""
        return bool(self._versions) and any(
            parked > version for order_id, version in shown for parked in self._versions.get(order_id, ())
        )
