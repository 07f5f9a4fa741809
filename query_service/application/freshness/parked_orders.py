"""Keeps the parked orders that this process knows, so that a list can flag them without asking the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class ParkedOrders:
    """Parked versions by order id. The store watch replaces all of them every second; a notice adds one at once."""

    def __init__(self) -> None:
        self._versions: dict[str, set[int]] = {}

    def __len__(self) -> int:
        return len(self._versions)

    def replace(self, parked: Mapping[str, Sequence[int]]) -> None:
        """Replaces all parked versions by those that the store returned."""
        self._versions = {order_id: set(versions) for order_id, versions in parked.items()}

    def add(self, order_id: str, version: int) -> None:
        """Adds a version that was parked just now."""
        self._versions.setdefault(order_id, set()).add(version)

    def includes(self, order_id: str, version: int) -> bool:
        """Returns whether this version of an order is parked."""
        return version in self._versions.get(order_id, ())

    def any_of(self, shown: Iterable[tuple[str, int]]) -> bool:
        """Returns whether any of these orders (id, shown version) has a parked version after the shown one."""
        return bool(self._versions) and any(
            parked > version for order_id, version in shown for parked in self._versions.get(order_id, ())
        )
