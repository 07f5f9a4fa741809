"""Shows the history of an order: who did what, when and why, and which fields changed."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.orders.v1.order_query_service_pb2 import GetOrderHistoryResponse, HistoryEntry

from devstack.cli.order_screens.change_words import change_words
from devstack.cli.order_screens.order_screen import freshness
from devstack.cli.order_screens.order_words import time
from devstack.cli.tables import indented
from devstack.cli.terminal import Picture, plain, say, say_whole, show

_FIRST = ("state", "total", "paid_total")


def print_history(answer: GetOrderHistoryResponse) -> None:
    """Prints the changes, oldest first, and below each the fields that changed."""
    for entry in answer.entries:
        show(*entry_pictures(entry))
    if answer.next_page_token:
        say_whole(f"next page: --page-token {answer.next_page_token}")
    if answer.HasField("read_info"):
        say(freshness(answer.read_info))


def entry_pictures(entry: HistoryEntry) -> Iterator[Picture]:
    """Draws one change."""
    event = entry.event
    what = event.event_type.removeprefix("ORDER_").lower().replace("_", " ")
    by = f" by {event.actor}" if event.actor else ""
    why = f": {event.reason}" if event.reason else ""
    yield plain(f"v{event.order_version}  {time(event.occur_time)}  {what}{by}{why}")
    for words in _changes(entry):
        yield indented(words)


def _changes(entry: HistoryEntry) -> Iterator[str]:
    if entry.event.order_version != 1:
        yield from map(change_words, entry.changes)
        return
    # All fields of a new order are new, so only its first values are shown.
    for change in entry.changes:
        if change.field in _FIRST and change.new_value:
            name, _, values = change_words(change).partition(": ")
            yield f"{name}: {values.partition(' → ')[2]}"
    lines = sum(change.field.startswith("lines[") for change in entry.changes)
    yield f"lines: {lines}"
    if entry.event.HasField("order_imported"):
        imported = entry.event.order_imported
        yield f"payments: {imported.payments}, shipments: {imported.shipments}"
