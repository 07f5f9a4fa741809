"""Describes conditions on the labels of orders, as a label selector has them."""

from __future__ import annotations

from typing import NamedTuple

from query_service.projection.order_document import OrderDocument


class LabelCondition(NamedTuple):
    """A condition on the label `key`.

    With `values`, the label must have one of them; without any, it must be there. If `negated`, an order must not meet
    this. So an order without the label meets every negated condition.
    """

    key: str
    values: tuple[str, ...] = ()
    negated: bool = False

    @property
    def pairs(self) -> list[str]:
        """The label with each of the values, as a document has it in `label_pairs`."""
        return [f"{self.key}={value}" for value in self.values]

    def holds(self, document: OrderDocument) -> bool:
        """Returns whether the order meets the condition."""
        if self.values:
            found = not set(self.pairs).isdisjoint(document.get("label_pairs", ()))
        else:
            found = self.key in document.get("label_keys", ())
        return found != self.negated
