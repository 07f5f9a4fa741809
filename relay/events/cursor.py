"""Reads and writes the relay's position, which every message of the stream carries in the header `Tandem-Cursor`.

A cursor has a *base* and, as its last part, a *mark*. All events found between two snapshots, or after one checkpoint
of the log, share the base.

After events found by polling:

    <source epoch>;poll;<seen>;<upto>;<mark>

`seen` and `upto` are snapshots. Everything that `seen` sees is delivered. If `seen` is empty, it sees nothing. Rows
that only `upto` sees are delivered in the order of their positions, and those up to the position `mark` have been. If
the mark is `end`, all of them have been. Then `seen` is not needed and may be empty: `<epoch>;poll;;<upto>;end`. If
polling took over from the log, the cursor has one more part, `<transactions>@<first>-<last>`. The poll must skip the
events of these transactions, and the events that the stream has from its sequence `first` to `last`:
`<epoch>;poll;<seen>;<upto>;<transactions>@<first>-<last>;<mark>`.

After events read from the write-ahead log:

    <source epoch>;wal;<slot>;<publication>;<checkpoint>;<snapshot>;<transactions>;<mark>
    mark: <commit LSN>:<index>:<transaction>:<behind>

All transactions whose commit record is before `commit LSN` are delivered. Of the transaction whose commit record is at
`commit LSN` (its id is `transaction`), the first `index` events are delivered. The other parts describe the last
*checkpoint*, at which polling can take over. At the log position `checkpoint`, everything that `snapshot` sees was
delivered, and the listed `transactions`, and nothing else. Since then, `behind` events have been delivered.
`publication` is the state that the publication had at the checkpoint.

A base that many events share is said once, by a barrier. The messages after it name the barrier by its stream sequence:
`@<sequence>;<mark>`. That applies to all bases of the log, and to those of polling that are longer than LONGEST_BASE. A
poll makes a new base every few milliseconds, and a barrier for each would cost more than it saves. A barrier has its
cursor in the long form. If the base is longer than LONGEST_BASE, the cursor is in the barrier's body, and the header is
`<source epoch>;<mode>;@body;<mark>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.events.errors import Refused
from relay.events.lsn import lsn_text, parse_lsn
from relay.events.snapshot import Snapshot

HEADER = "Tandem-Cursor"
END = "end"
#: No header has a base with more characters than this.
LONGEST_BASE = 512
_ANCHORED = re.compile(r"@(\d+);[^;]*", re.ASCII)
_IDS = re.compile(r"(?:\d+(?:,\d+)*)?", re.ASCII)
_PASSED = re.compile(r"([\d,]*)@(\d+)-(\d+)", re.ASCII)
_WAL_MARK = re.compile(r"([0-9A-F/]+):(\d+):(\d+)(?::(\d+))?", re.ASCII)
IN_BODY = "@body"


class CursorError(ValueError):
    """The text is no cursor that this relay understands. The message names the text."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Events that a poll must skip because the stream has them already.

    They are all events of `transactions`, and the events in the stream's messages from sequence `first` to `last`
    (none if `last` < `first`).
    """

    transactions: tuple[int, ...]
    first: int
    last: int

    @property
    def text(self) -> str:
        """The text form, as a cursor contains it."""
        return f"{_ids_text(self.transactions)}@{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class PollCursor:
    """A cursor of polling: everything that `seen` sees is delivered, and what only `upto` sees up to `position`.

    If `seen` is None, it stands for a snapshot that sees nothing. If `upto` is None, nothing is half delivered, and
    `position` is 0. `passed` are events that the poll must skip; None if there are none.
    """

    epoch: int
    seen: Snapshot | None = None
    upto: Snapshot | None = None
    position: int = 0
    passed: PassedOver | None = None

    @property
    def base(self) -> str:
        """The part before the mark. All events found between the same two snapshots share it."""
        seen = self.seen.text if self.seen else ""
        passed = f";{self.passed.text}" if self.passed else ""
        if self.upto is None:
            return f"{self.epoch};poll;;{seen}{passed}"
        return f"{self.epoch};poll;{seen};{self.upto.text}{passed}"

    @property
    def mark(self) -> str:
        """The last part: the position reached between the two snapshots, or `end`."""
        return END if self.upto is None and self.seen else str(self.position)

    @property
    def text(self) -> str:
        """The whole cursor in its long form."""
        return f"{self.base};{self.mark}"


@dataclass(frozen=True, slots=True)
class WalCheckpoint:
    """A position `lsn` in the log, read by `slot`, at which polling can take over.

    Everything that `snapshot` sees is delivered there, and also `transactions`. `publication` is the state that the
    publication had.
    """

    slot: str
    publication: str
    lsn: int
    snapshot: Snapshot
    transactions: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The text form, as a cursor contains it."""
        return (
            f"{self.slot};{self.publication};{lsn_text(self.lsn)};{self.snapshot.text};{_ids_text(self.transactions)}"
        )


@dataclass(frozen=True, slots=True)
class WalCursor:
    """A position in the log after a checkpoint.

    `transaction` (0: none) is the one that committed at `commit_lsn`; its first `index` events are delivered. `behind`
    is the number of events delivered since the checkpoint. If that number is not known, `behind` is lower.
    """

    epoch: int
    checkpoint: WalCheckpoint
    commit_lsn: int
    index: int = 0
    transaction: int = 0
    behind: int = 0

    @property
    def base(self) -> str:
        """The part that all events after one checkpoint share."""
        return f"{self.epoch};wal;{self.checkpoint.text}"

    @property
    def mark(self) -> str:
        """The part that gives the position after the checkpoint."""
        return f"{lsn_text(self.commit_lsn)}:{self.index}:{self.transaction}:{self.behind}"

    @property
    def text(self) -> str:
        """The whole cursor in its long form."""
        return f"{self.base};{self.mark}"


Cursor = PollCursor | WalCursor


def mark(base: str, at: str) -> str:
    """Returns the text of the cursor with `base` (long or anchored) and the mark `at`."""
    return f"{base};{at}"


def stands_in_barriers(cursor: Cursor, base: str) -> bool:
    """Returns whether messages name a barrier instead of carrying `base`, which is the base of `cursor`."""
    return isinstance(cursor, WalCursor) or len(base) > LONGEST_BASE


def anchored(sequence: int) -> str:
    """Returns the short form of the base that the barrier at the stream sequence `sequence` has."""
    return f"@{sequence}"


def in_body(base: str) -> str:
    """Returns the base for the header of a barrier whose body has the long base."""
    epoch, mode, _ = base.split(";", 2)
    return f"{epoch};{mode};{IN_BODY}"


def anchor_of(text: str) -> int | str | None:
    """Returns the stream sequence of the barrier that a cursor refers to, IN_BODY, or None for a complete text."""
    if match := _ANCHORED.fullmatch(text):
        return int(match[1])
    parts = text.split(";")
    return IN_BODY if len(parts) == 4 and parts[2] == IN_BODY else None


def resolve(text: str, anchor_text: str) -> str:
    """Returns the long form of the anchored cursor `text`, given a long cursor text with the same base."""
    return mark(anchor_text.rpartition(";")[0], text.rpartition(";")[2])


def transaction_of(text: str) -> int | None:
    """Returns the id of the last transaction that a cursor of the log covers; None for other cursors.

    The cursor may be in its long or its anchored form.
    """
    match = _WAL_MARK.fullmatch(text.rpartition(";")[2])  # no mark of polling has this form
    return int(match[3]) or None if match else None


def parse(text: str) -> Cursor:
    """Reads a cursor in its long form. Raises CursorError for other text, or a mode that this relay cannot resume."""
    parts = text.split(";")
    if len(parts) < 3 or not parts[0].isdecimal() or not parts[0].isascii():
        raise CursorError(f"not a relay cursor: {text[:80]!r}")
    try:
        if parts[1] == "poll":
            return _parse_poll(int(parts[0]), parts[2:])
        if parts[1] == "wal":
            return _parse_wal(int(parts[0]), parts[2:])
    except ValueError as error:
        raise CursorError(f"not a {parts[1]} cursor: {error}") from None
    raise CursorError(f"cursor of mode {parts[1][:20]!r}, which this relay cannot resume: {text[:80]!r}")


def _parse_poll(epoch: int, parts: list[str]) -> PollCursor:
    if len(parts) not in {3, 4}:
        raise ValueError(f"{len(parts)} parts")
    seen_text, upto_text, at = parts[0], parts[1], parts[-1]
    seen = Snapshot.parse(seen_text) if seen_text else None
    upto = Snapshot.parse(upto_text) if upto_text else None
    passed = None
    if len(parts) == 4:
        match = _PASSED.fullmatch(parts[2])
        if match is None:
            raise ValueError(f"{parts[2][:80]!r}")
        passed = PassedOver(_read_ids(match[1]), int(match[2]), int(match[3]))
    if at == END and upto is not None:
        return PollCursor(epoch, upto, passed=passed)
    if not at.isdecimal() or not at.isascii() or (upto is None and (seen is not None or at != "0")):
        raise ValueError(f"{at[:80]!r}")
    return PollCursor(epoch, seen, upto, int(at), passed)


def _parse_wal(epoch: int, parts: list[str]) -> WalCursor:
    if len(parts) != 6:
        raise ValueError(f"{len(parts)} parts")
    slot, publication, lsn, snapshot, transactions, at = parts
    match = _WAL_MARK.fullmatch(at)
    if match is None:
        raise ValueError(f"{at[:80]!r}")
    checkpoint = WalCheckpoint(slot, publication, parse_lsn(lsn), Snapshot.parse(snapshot), _read_ids(transactions))
    return WalCursor(epoch, checkpoint, parse_lsn(match[1]), int(match[2]), int(match[3]), int(match[4] or 0))


def _read_ids(text: str) -> tuple[int, ...]:
    if not _IDS.fullmatch(text):
        raise ValueError(f"{text[:80]!r}")
    return tuple(map(int, text.split(","))) if text else ()


def _ids_text(ids: tuple[int, ...]) -> str:
    return ",".join(map(str, ids))


def read_cursor(text: str) -> Cursor:
    """Reads the stream's last cursor, or the copy of it in the database. Raises Refused if the text is no cursor."""
    try:
        return parse(text)
    except CursorError as error:
        raise Refused(f"the stream's last position cannot be resumed: {error}") from None
