"""Names our indices: a prefix per installation, aliases for requests, and a generation per index."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_GENERATION = "g1"


@dataclass(frozen=True, slots=True)
class IndexNames:
    """The aliases of one installation. Documents are read and written through aliases only."""

    prefix: str = ""

    @property
    def orders(self) -> str:
        """One document per order."""
        return f"{self.prefix}orders"

    @property
    def entries(self) -> str:
        """One document per event."""
        return f"{self.prefix}order-events"

    @property
    def parked(self) -> str:
        """One document per order with events that could not be projected."""
        return f"{self.prefix}orders-parked"

    @property
    def state(self) -> str:
        """What the read model knows about itself."""
        return f"{self.prefix}read-model-state"

    @property
    def aliases(self) -> tuple[str, ...]:
        """All of them."""
        return (self.orders, self.entries, self.parked, self.state)

    @staticmethod
    def index(alias: str, generation: str) -> str:
        """Returns the index that holds an alias's documents in a generation."""
        return f"{alias}-{generation}"
