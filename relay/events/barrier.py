"""Builds barriers: messages that are no events, but statements about all events before them.

A barrier with `Tandem-Barrier-Time: T` says that everything committed before source time T is earlier in the stream.
A barrier also says once what the messages after it share: the term, and the base of the cursor. A barrier without a
time does only that, or claims the stream for a new term.
"""

from __future__ import annotations

import json
import secrets

from relay.events.cursor import HEADER, LONGEST_BASE, Cursor, in_body, mark
from relay.events.message import EPOCH_HEADER, TERM_HEADER, Message, rfc3339

TIME_HEADER = "Tandem-Barrier-Time"
#: On each barrier of an adoption: the source epoch that it gives. The barrier's own is the old one until the end.
ADOPTING_HEADER = "Tandem-Adopting"
#: The least time between two barriers that are published only for their time.
INTERVAL_SECONDS = 1.0


class BarrierBuilder:
    """Builds the barriers of one publishing session. Each gets a message id of its own."""

    def __init__(self, subject: str, *, publish_epoch: int, term: int, lines: str = "") -> None:
        """`lines` are further header lines of each barrier, complete with their line ends."""
        self._subject = subject.encode()
        self._lines = lines
        self._publish_epoch = publish_epoch
        self._term = term
        self._count = 0
        # In a stream that was emptied, terms begin at 1 again, but its server may still remember earlier ids.
        self._session = secrets.token_hex(4)

    def barrier(self, cursor: Cursor, as_of: int | None) -> Message:
        """Returns a barrier with `cursor` and its source epoch. If the base is too long, the body holds the cursor.

        `as_of` is the barrier's time in µs since 1970; None for a barrier without a time.
        """
        self._count += 1
        base = cursor.base
        if len(base) > LONGEST_BASE:
            body = json.dumps({"cursor": cursor.text}, separators=(",", ":")).encode()
            base = in_body(base)
        else:
            body = b""
        text = (
            f"{HEADER}: {mark(base, cursor.mark)}\r\n{TERM_HEADER}: {self._term}\r\n{EPOCH_HEADER}: {cursor.epoch}\r\n"
            + (f"{TIME_HEADER}: {rfc3339(as_of)}\r\n" if as_of is not None else "")
            + self._lines
        )
        message_id = f"{self._publish_epoch}:barrier:{self._term}.{self._session}.{self._count}"
        return Message.sized(self._subject, message_id.encode(), text.encode(), body, group=message_id)
