"""Gives the encoded orders of documents, also of documents that another release wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from query_service.application.ports.errors import Lagging, RebuildNeeded
from query_service.projection.errors import ProjectionError
from query_service.projection.order_document import EventDocument, OrderDocument
from query_service.projection.project import order_after

#: Returns the journal entries of an order's versions; see OrderReader.
Entries = Callable[[str, Sequence[int]], Awaitable[list[EventDocument | None]]]
_View = Literal["order", "basic_order"]


async def encoded_orders(documents: Sequence[OrderDocument], entries: Entries, *, basic: bool = False) -> list[bytes]:
    """Returns the orders as they were encoded when they were written.

    A store leaves out what another edition encoded. Such an order is projected again, from the journal entry of its
    version. Raises Lagging while that entry is not there, and RebuildNeeded if this release cannot read it.
    """
    view: _View = "basic_order" if basic else "order"
    if all(view in document for document in documents):  # nearly always
        return [document[view] for document in documents]
    lacking = {document["order_id"]: document for document in documents if view not in document}
    again = dict(zip(lacking, await asyncio.gather(*(_again(one, entries) for one in lacking.values())), strict=True))
    return [again.get(document["order_id"], document)[view] for document in documents]


async def _again(document: OrderDocument, entries: Entries) -> OrderDocument:
    version = document["version"]
    [entry] = await entries(document["order_id"], [version])
    # Both are written in one request, but not at one moment. And a restored source gives a version a second time.
    if entry is None or entry["hash"] != document["hash"]:
        raise Lagging(document["order_id"], version, version - 1)
    try:
        return order_after(entry)
    except ProjectionError:
        raise RebuildNeeded("order") from None
