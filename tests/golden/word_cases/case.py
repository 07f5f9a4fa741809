"""One case of finding, and the order that has its text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_types_pb2 as types

from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from query_service.projection.words.stored import search_text
from tests.support.queries.order_events import published


class Place(StrEnum):
    """Where in an order a text stands."""

    PRODUCT = "product"
    SKU = "sku"
    ORDER_NUMBER = "order number"
    POSTAL_CODE = "postal code"
    PHONE = "phone"


@dataclass(frozen=True)
class Case:
    """A text that an order has, a text asked for, and whether the second finds the first."""

    stored: str
    asked: str
    found: bool
    why: str
    place: Place = Place.PRODUCT

    def __str__(self) -> str:
        verb = "finds" if self.found else "does not find"
        return f"{self.asked!a} {verb} {self.stored!a} ({self.place}: {self.why})"

    @property
    def kept(self) -> str:
        """What is kept of an order that has the text, and no other words."""
        match self.place:
            case Place.PRODUCT:
                return search_text([self.stored])
            case Place.PHONE:
                return search_text([], phones=[self.stored])
            case _:
                return search_text([], codes=[self.stored])

    def order(self, order_id: str) -> ProjectedEvent:
        """An order that has the text, and no other words."""
        order = types.Order(order_id=order_id, version=1)
        match self.place:
            case Place.PRODUCT:
                order.lines.add(product_name=self.stored)
            case Place.SKU:
                order.lines.add(sku=self.stored)
            case Place.ORDER_NUMBER:
                order.order_number = self.stored
            case Place.POSTAL_CODE:
                order.shipping_address.CopyFrom(PostalAddress(postal_code=self.stored))
            case Place.PHONE:
                order.customer.CopyFrom(types.Customer(phone=self.stored))
        message = published(order)
        return project(read_event(message.headers, message.body))


def either_way(why: str, *texts: str) -> Iterable[Case]:
    """Each of the texts finds each of them."""
    for stored in texts:
        for asked in texts:
            yield Case(stored, asked, True, why)


def apart(why: str, *texts: str) -> Iterable[Case]:
    """None of the texts finds another one."""
    for stored in texts:
        for asked in texts:
            yield Case(stored, asked, stored == asked, why)


def decomposed(cases: Iterable[Case]) -> Iterable[Case]:
    """The cases with one text decomposed, in turn the stored one and the one asked for."""
    for number, case in enumerate(cases):
        if number % 2:
            yield replace(case, stored=unicodedata.normalize("NFD", case.stored), why=f"{case.why}; stored decomposed")
        else:
            yield replace(case, asked=unicodedata.normalize("NFD", case.asked), why=f"{case.why}; asked decomposed")
