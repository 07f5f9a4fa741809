"""Checks an order's journal entries and its document against the recorded texts and the hash chain.

An entry stores the write side's text. The chain shows any change of that text, and the text gives every other field of
the entry and of the order's document.
"""

from __future__ import annotations

from typing import Any

from query_service.projection.errors import ProjectionError
from query_service.projection.order_document import EventDocument, OrderDocument
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.recorded_event import chain_fault, recorded_event, stream_event
from query_service.projection.shown_order import differing_parts

#: These fields say which write made a document, and nothing about the order.
_WRITE = ("revision", "source_epoch")


class JournalCheck:
    """Checks one order. Give it the entries of the versions 1, 2, 3, … in this order, and then the document.

    `head` is what the last entry gives; None if there is no such entry or it is faulty. `verified` is the number of
    entries without fault whose previous entry was there too, so that their hash could be computed.

    `own` says that this release projected all documents. Otherwise texts and hashes are checked, but no other fields,
    because another release may give other ones.
    """

    def __init__(self, order_id: str, *, own: bool = True) -> None:
        self._order_id, self._own = order_id, own
        #: The hash that the last entry has; "" before the first entry, None when the last entry is missing.
        self._previous: str | None = ""
        self._version = 0
        self.head: ProjectedEvent | None = None
        self.verified = 0

    def missing(self) -> None:
        """Takes note that the next version has no entry. The hash of the entry after it cannot be computed."""
        self._version += 1
        self._previous, self.head = None, None

    def entry_fault(self, entry: EventDocument) -> str | None:
        """Returns what is wrong with the entry of the next version; None when nothing is."""
        self._version += 1
        previous, self._previous = self._previous, entry.get("hash")
        fault, given = self._fault(entry, previous)
        self.head = given if fault is None else None
        if fault is None and previous is not None:
            self.verified += 1
        return fault

    def document_fault(self, document: OrderDocument) -> str | None:
        """Returns what is wrong with the order's document; None when nothing is, or when there is no `head`."""
        if self.head is None:
            return None
        if not self._own:
            return None if document.get("hash") == self.head.order["hash"] else "its hash is not its journal entry's"
        changed = _changed_fields(document, self.head.order)
        return f"these fields are not what its journal entry gives: {', '.join(changed)}" if changed else None

    def _fault(self, entry: EventDocument, previous: str | None) -> tuple[str | None, ProjectedEvent | None]:
        try:
            recorded = recorded_event(entry)
            fault = None if previous is None else chain_fault(previous, recorded)
            given = project(stream_event(recorded, entry["source_epoch"]), entry["revision"])
        except ProjectionError as error:
            return error.detail, None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return f"a field is missing or of another type ({type(error).__name__})", None
        if fault is None and (given.order_id, given.version) != (self._order_id, self._version):
            fault = f"it is of version {given.version} of order {given.order_id}"
        changed = _changed_fields(entry, given.event) if self._own else []
        if fault is None and changed:
            fault = f"these fields are not those of its text: {', '.join(changed)}"
        return fault, given


def _changed_fields(found: Any, wanted: Any) -> list[str]:
    """Returns the names of the fields that differ, except for those that only tell which write made the document.

    An earlier release wrote documents without the fields that came later. A field that is missing is as good as an
    empty one.
    """
    if found == wanted:
        return []
    names = sorted({*found, *wanted} - set(_WRITE))
    absent = object()
    return [
        _named(name, found.get(name), wanted.get(name))
        for name in names
        if found.get(name, absent) != wanted.get(name, absent) and (name in found or wanted[name])
    ]


def _named(name: str, found: Any, wanted: Any) -> str:
    """Returns the name of a field that differs; of an encoded order with the names of its fields that differ."""
    if not isinstance(found, bytes) or not isinstance(wanted, bytes):
        return name
    parts = differing_parts(found, wanted)
    return f"{name} ({', '.join(parts)})" if parts else name
