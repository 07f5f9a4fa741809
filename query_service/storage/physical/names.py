"""Defines the names of indices and aliases.

A name begins with the installation's prefix. The name of an index ends with its generation.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_GENERATION = "g1"


@dataclass(frozen=True, slots=True)
class IndexNames:
    """The aliases of one installation. Documents are read and written through aliases only."""

    prefix: str = ""

    @property
    def orders(self) -> str:
        """The alias of the orders: one document per order."""
        return f"{self.prefix}orders"

    @property
    def entries(self) -> str:
        """The alias of the journal: one document per event."""
        return f"{self.prefix}order-events"

    @property
    def parked(self) -> str:
        """The alias of the parked events: one document per order that has any."""
        return f"{self.prefix}orders-parked"

    @property
    def state(self) -> str:
        """The alias of the read model's identity and freshness."""
        return f"{self.prefix}read-model-state"

    @property
    def aliases(self) -> tuple[str, ...]:
        """All four aliases."""
        return (self.orders, self.entries, self.parked, self.state)

    @staticmethod
    def index(alias: str, generation: str) -> str:
        """Returns the name of the index that an alias has in a generation."""
        return f"{alias}-{generation}"
