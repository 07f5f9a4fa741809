"""Describes one line of an order: what was ordered, and how many pieces were cancelled, shipped and so on."""

from __future__ import annotations

from dataclasses import dataclass

from command_service.domain.computed_once import computed_once
from command_service.domain.money import line_net, tax_on


@dataclass(frozen=True)
class OrderLine:
    """One line of an order. Amounts are minor units of the order's currency, rates are basis points."""

    line_number: int
    sku: str
    product_name: str
    unit_price: int
    quantity: int
    discount_basis_points: int = 0
    tax_rate_basis_points: int = 0
    cancelled_quantity: int = 0
    shipped_quantity: int = 0
    delivered_quantity: int = 0
    returned_quantity: int = 0

    @property
    def ordered(self) -> OrderLine:
        """The same line before any piece was shipped, delivered, returned or cancelled."""
        return OrderLine(
            self.line_number,
            self.sku,
            self.product_name,
            self.unit_price,
            self.quantity,
            self.discount_basis_points,
            self.tax_rate_basis_points,
        )

    @property
    def charged_quantity(self) -> int:
        """Pieces that the customer has to pay: all that were not cancelled."""
        return self.quantity - self.cancelled_quantity

    @property
    def open_quantity(self) -> int:
        """Pieces still to ship."""
        return self.charged_quantity - self.shipped_quantity

    @computed_once
    def net_amount(self) -> int:
        """Net price of the charged pieces, after discount."""
        return self._net(self.charged_quantity)

    @computed_once
    def tax_amount(self) -> int:
        """Tax on `net_amount`."""
        return tax_on(self.net_amount, self.tax_rate_basis_points)

    @computed_once
    def kept_amount(self) -> int:
        """Net price and tax of the pieces that were neither cancelled nor returned."""
        if self.returned_quantity == 0:
            return self.net_amount + self.tax_amount
        net = self._net(self.charged_quantity - self.returned_quantity)
        return net + tax_on(net, self.tax_rate_basis_points)

    def _net(self, pieces: int) -> int:
        return line_net(self.unit_price, pieces, self.discount_basis_points)
