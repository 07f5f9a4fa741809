"""Questions to the book of orders, and what the reference store answers.

`python -m tests.golden.order_questions` writes the answers anew, from the reference store only. Lists, counts and sums
must be the same in every store to the letter, text search as sets, percentiles within 1 %.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tandem.orders.v1.order_query_service_pb2 import OrderFilter

from query_service.application.calendars.time_zone import time_zone
from query_service.application.ports.order_questions import (
    CANCELLED_STATES,
    CustomerFigures,
    Dimension,
    FoundFigures,
    FoundOrders,
    OrderCriteria,
    OrderQuestions,
    OrderSearch,
    OrderSort,
    OrderSummaries,
)
from query_service.storage.memory import MemoryStore
from query_service.wire.order_criteria import criteria_of
from tests.golden.order_book import CUSTOMERS, START, order_book

ANSWERS = Path(__file__).parent / "order_answers"
_DAY = 86_400_000_000
_START = int(START.timestamp()) * 1_000_000
_BOOK = [event.order for event in order_book()]
NUMBERS = tuple(order["order_number"] for order in _BOOK[10:200:60])
IDS = tuple(order["order_id"] for order in _BOOK[5:300:70])
PERCENTILES = (0.0, 1.0, 25.0, 50.0, 99.9, 100.0)

CRITERIA: Mapping[str, OrderCriteria] = {
    "all": OrderCriteria(),
    "two states": OrderCriteria(states=("PLACED", "SHIPPED")),
    "without cancelled": OrderCriteria(excluded_states=CANCELLED_STATES),
    "a state in and out": OrderCriteria(states=("PLACED", "CANCELLED"), excluded_states=CANCELLED_STATES),
    "payment and fulfillment": OrderCriteria(payment_states=("UNPAID", "PAID"), fulfillment_states=("UNFULFILLED",)),
    "on hold": OrderCriteria(on_hold=True),
    "not on hold": OrderCriteria(on_hold=False, currency_code="EUR"),
    "customers": OrderCriteria(customer_ids=("KOENE", "TOKYO")),
    "no such customer": OrderCriteria(customer_ids=("koene",)),
    "sources": OrderCriteria(sources=("phone",)),
    "products": OrderCriteria(skus=("TOFU-14", "ÄPFEL-51")),
    "countries": OrderCriteria(region_codes=("DE", "VE")),
    "totals": OrderCriteria(currency_code="EUR", min_total=5_000, max_total=20_000),
    "placed": OrderCriteria(placed_from=_START + 7 * _DAY, placed_until=_START + 14 * _DAY),
    "updated": OrderCriteria(updated_from=_START + 20 * _DAY, updated_until=_START + 60 * _DAY),
    "order numbers": OrderCriteria(order_numbers=NUMBERS),
    "order ids": OrderCriteria(order_ids=(*IDS, "5f0c7b1e-7c3a-4d6e-9b2a-3f5e8c1d2a4b")),
    "payment references": OrderCriteria(payment_references=("ch_0005x", "CH_0010X", "re-0030", "ch_0015x")),
    "tracking numbers": OrderCriteria(tracking_numbers=("QUESO", "1Z 999 0014 É", "queso")),
    "numbers of two kinds": OrderCriteria(order_numbers=NUMBERS, order_ids=IDS[:2], sources=("webshop", "phone", "")),
    "labels": criteria_of(OrderFilter(label_selector="channel in (web,App),tier!=gold,erp/id")),
    "everything at once": OrderCriteria(
        words=(("queso",),), states=("PAID",), sources=("webshop", ""), currency_code="EUR", on_hold=False
    ),
}
#: Typed by people who have a number in hand → what is typed, if not the name itself.
EXACT_TEXTS: Mapping[str, str] = {
    "queso": "",
    "q u e s o": "",
    "an order number": NUMBERS[0],
    "an order number without a hyphen": NUMBERS[1].replace("-", ""),
    "the beginning of an order number": NUMBERS[0][:-1],
    "an id": IDS[0],
    "an id in capitals": IDS[1].upper(),
    "the beginning of an id": IDS[0][:8],
    "a reference": "ch_0005x",
    "a reference in capitals": "CH 0005X",
    "a reference of a refund": "re-0030",
    "the beginning of a reference": "ch_0005",
    "a tracking number": "1z9990014é",
    "a value of a label": "ext 0030",
}
TEXTS = (
    "konig",
    "KÖNIGLICH essen",
    "essen konig",
    "bacalhau",
    "pere",
    "Łódź",
    "lodz",
    "aero",
    "東京",
    "TOFU-14",
    "apfel-51",
    "cafe",
    "so-1",
    "koene",
    "onig",
    "konig tofu",
    "konig nothing",
    "singaporean hokkien fried mee cheese",
)
GROUPINGS: tuple[tuple[Dimension, ...], ...] = (
    *((dimension,) for dimension in Dimension),
    (Dimension.MONTH, Dimension.COUNTRY),
    (Dimension.PRODUCT, Dimension.CUSTOMER),
    (Dimension.STATE, Dimension.PRODUCT, Dimension.WEEK),
    (Dimension.DAY, Dimension.CUSTOMER, Dimension.SOURCE),
)


#: In São Paulo the clocks went back on 1997-02-16, Kathmandu is 5:45 ahead of UTC.
ZONES = ("America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Auckland")
ZONED_GROUPINGS = ((Dimension.DAY,), (Dimension.WEEK, Dimension.COUNTRY), (Dimension.MONTH, Dimension.PRODUCT))


async def exact_answers(store: OrderQuestions) -> dict[str, Any]:
    """Lists, facets and figures, as JSON values."""
    answers: dict[str, Any] = {}
    for name, criteria in CRITERIA.items():
        answers[f"list {name}"] = _listed(await store.search(OrderSearch(criteria, size=20)))
    for sort in OrderSort:
        answers[f"sort {sort}"] = await _in_pieces(store, sort, OrderCriteria())
        answers[f"sort {sort} of queso"] = await _in_pieces(store, sort, typed("queso"))
    for name, text in EXACT_TEXTS.items():
        answers[f"exact {name}"] = _listed(await store.search(OrderSearch(typed(text or name), size=10)))
    asked = OrderSummaries(typed(NUMBERS[1].replace("-", "")), (Dimension.SOURCE,))
    answers["figures of an exact text"] = _figures(await store.summarize(asked))
    for name in ("all", "two states"):
        search = OrderSearch(CRITERIA[name], size=1, facets=tuple(Dimension))
        answers[f"facets {name}"] = _listed(await store.search(search))
    for grouping in GROUPINGS:
        for name, size in (("all", 10), ("without cancelled", 40)):
            found = await store.summarize(OrderSummaries(CRITERIA[name], grouping, size))
            answers[f"figures by {' '.join(grouping)} of {name}"] = _figures(found)
    for zone in ZONES:
        for grouping in ZONED_GROUPINGS:
            found = await store.summarize(OrderSummaries(CRITERIA["all"], grouping, 40, zone=time_zone(zone)))
            answers[f"figures by {' '.join(grouping)} in {zone}"] = _figures(found)
    for customer_id in [*(customer[0] for customer in CUSTOMERS), "NOBODY"]:
        answers[f"customer {customer_id}"] = _customer(await store.customer(customer_id, recent=5))
    return answers


async def text_answers(store: OrderQuestions) -> dict[str, list[str]]:
    """For each text the orders found, by the beginnings of their ids, sorted."""
    return {
        text: sorted(order.order_id[:8] for order in (await store.search(OrderSearch(typed(text), size=1000))).orders)
        for text in TEXTS
    }


async def percentile_answers(store: OrderQuestions) -> dict[str, list[int]]:
    """For each grouping and group the percentiles."""
    answers: dict[str, list[int]] = {}
    for grouping in ((Dimension.COUNTRY,), (Dimension.PRODUCT,), (Dimension.MONTH, Dimension.SOURCE)):
        asked = OrderSummaries(CRITERIA["all"], grouping, 1000, PERCENTILES)
        found = await store.summarize(asked)
        for figures in [*found.groups, *found.totals]:
            name = " ".join((*grouping, "of", *figures.keys, figures.currency_code))
            answers[name] = list(figures.percentiles)
    return answers


def typed(text: str) -> OrderCriteria:
    """What a text asks for."""
    return criteria_of(OrderFilter(text=text))


async def _in_pieces(store: OrderQuestions, sort: OrderSort, criteria: OrderCriteria) -> list[Any]:
    """The whole list, each piece begun where the one before ended."""
    places: list[Any] = []
    search = OrderSearch(criteria, sort, size=7)
    while found := (await store.search(search)).orders:
        places += [[order.position.exact, order.position.key, order.position.order_id] for order in found]
        search = replace(search, after=found[-1].position)
    return places


def _listed(found: FoundOrders) -> Any:
    return {
        "orders": [order.order_id for order in found.orders],
        "total": found.total,
        "facets": {str(dimension): [list(count) for count in counts] for dimension, counts in found.facets.items()},
    }


def _figures(found: FoundFigures) -> Any:
    return {
        "groups": [_plain(figures) for figures in found.groups],
        "totals": [_plain(figures) for figures in found.totals],
        "truncated": found.truncated,
    }


def _customer(found: CustomerFigures) -> Any:
    return {
        **{name: value for name, value in asdict(replace(found, recent=[], totals=[])).items() if name != "generation"},
        "totals": [_plain(figures) for figures in found.totals],
        "recent": [order["order_id"] for order in found.recent],
    }


def _plain(figures: Any) -> Any:
    return [*asdict(figures).values(), figures.average_total]


def as_text(answers: Mapping[str, Any]) -> str:
    """One line per question."""
    lines = [f"{json.dumps(name, ensure_ascii=False)}: {_compact(answer)}" for name, answer in answers.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


async def write() -> None:
    """Writes the answers of the reference store."""
    store = MemoryStore()
    await store.apply(order_book())
    ANSWERS.mkdir(exist_ok=True)
    (ANSWERS / "exact.json").write_text(as_text(await exact_answers(store)))
    (ANSWERS / "text.json").write_text(as_text(await text_answers(store)))
    (ANSWERS / "percentiles.json").write_text(as_text(await percentile_answers(store)))


if __name__ == "__main__":
    asyncio.run(write())
