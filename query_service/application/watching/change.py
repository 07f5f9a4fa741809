"""Reads the messages of the stream for watchers: changes of orders, and barriers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from query_service.application.ports.change_stream import Message
from query_service.application.ports.order_questions import Edition
from query_service.application.ports.read_store import ShownOrder
from query_service.projection.errors import ProjectionError
from query_service.projection.project import ProjectedEvent, project, without_personal_data
from query_service.projection.stream_event import addressee, is_barrier, read_barrier, read_event


@dataclass(frozen=True, slots=True)
class Passed:
    """A message that is no change. `time`: that of a barrier, in microseconds since 1970; else None."""

    sequence: int
    time: int | None = None


class Change:
    """One change of one order. It is projected when that is first needed, and once for all watchers.

    `edition` has the source epoch and the order's version after the change. `size`: of its message, in bytes.
    `erased`: its personal data is taken out, because the order was redacted after it.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_parse",
        "_projected",
        "checked_at",
        "edition",
        "encoded",
        "erased",
        "order_id",
        "sequence",
        "size",
    )

    def __init__(self, message: Message, headers: Mapping[str, str], order_id: str, edition: Edition) -> None:
        self.sequence, self.order_id, self.edition = message.sequence, order_id, edition
        self._headers, self._body = headers, message.body
        self.size = len(message.body)
        self._projected: ProjectedEvent | ProjectionError | None = None
        #: The encoded event, kept by whoever encodes it first.
        self.encoded: bytes | None = None
        self.erased = False
        #: When it was last looked up whether the order is redacted, on the loop's clock.
        self.checked_at = float("-inf")

    def projected(self) -> ProjectedEvent:
        """Returns the change's documents. Raises ProjectionError when this release cannot read it."""
        if self._projected is None:
            try:
                projected = project(read_event(self._headers, self._body))
                self._projected = without_personal_data(projected) if self.erased else projected
            except ProjectionError as error:
                self._projected = error
            self._headers, self._body = {}, b""
        if isinstance(self._projected, ProjectionError):
            raise self._projected
        return self._projected

    def erase(self) -> None:
        """Takes out the personal data, as the redaction of the order does. A change from after it stays as it is."""
        if not self.erased:
            self.erased, self.encoded = True, None
            if isinstance(self._projected, ProjectedEvent):
                self._projected = without_personal_data(self._projected)


def is_readable(change: Change, shown: ShownOrder) -> bool:
    """Returns whether a read that shows this of the order contains the change."""
    return shown.edition >= change.edition


def erase_redacted(changes: Iterable[Change], shown: Mapping[str, ShownOrder]) -> None:
    """Erases the changes of orders that look-ups show as redacted. `shown` has what look-ups show, by order id."""
    for change in changes:
        if shown[change.order_id].redacted:
            change.erase()


def read_message(message: Message) -> Change | Passed:
    """Reads a message's headers. A message that names no order, or is no event, is Passed."""
    headers = message.headers
    if is_barrier(headers):
        try:
            return Passed(message.sequence, read_barrier(headers).time)
        except ProjectionError:
            return Passed(message.sequence)
    named = addressee(headers)
    if named is None or not headers.get("ce-id"):
        return Passed(message.sequence)
    order_id, version = named
    return Change(message, headers, order_id, (_source_epoch(headers), version))


def _source_epoch(headers: Mapping[str, str]) -> int:
    text = headers.get("Tandem-Epoch", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
