"""Defines the names of indices and aliases.

A name begins with the installation's prefix. The name of an index ends with its generation. Orders and journal have a
readers' alias, which a rebuild moves from one generation to the next, and an alias of each generation, which always
has the index of that generation. Parked events and state belong to the read model, not to a generation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexNames:
    """The aliases of one installation. Documents are read and written through aliases only.

    With a `generation`, `orders` and `entries` are the aliases of that generation; otherwise they are the readers'.
    """

    prefix: str = ""
    generation: str = ""

    @property
    def orders(self) -> str:
        """The alias of the orders: one document per order."""
        return self._own(f"{self.prefix}orders")

    @property
    def entries(self) -> str:
        """The alias of the journal: one document per event."""
        return self._own(f"{self.prefix}order-events")

    @property
    def parked(self) -> str:
        """The alias of the parked events: one document per order that has any."""
        return f"{self.prefix}orders-parked"

    @property
    def state(self) -> str:
        """The alias of the read model's identity, of how fresh its generations are, and of a rebuild's state."""
        return f"{self.prefix}read-model-state"

    @property
    def aliases(self) -> tuple[str, ...]:
        """All four aliases."""
        return (self.orders, self.entries, self.parked, self.state)

    @property
    def documents(self) -> tuple[str, str]:
        """The readers' aliases that a rebuild moves."""
        return f"{self.prefix}orders", f"{self.prefix}order-events"

    def of(self, generation: str) -> IndexNames:
        """Returns the names that belong to a generation."""
        return IndexNames(self.prefix, generation)

    @staticmethod
    def generation_of(index: str) -> str:
        """Returns the generation of an index of orders or of the journal."""
        return index.rpartition("-")[2]

    @staticmethod
    def index(alias: str, generation: str) -> str:
        """Returns the name of the index that a readers' alias has in a generation."""
        return f"{alias}-{generation}"

    @staticmethod
    def alias(alias: str, generation: str) -> str:
        """Returns the name of a generation's own alias. A write through it never creates an index."""
        return f"{alias}.{generation}"

    def _own(self, alias: str) -> str:
        return self.alias(alias, self.generation) if self.generation else alias
