"""The position of the relay as text, carried by every message of the stream in the header `Tandem-Cursor`.

    <source epoch>;poll;<seen>;<upto>;<mark>

`seen` and `upto` are snapshots. All that `seen` shows has been delivered (empty: nothing has), and of what `upto` shows
beside it, in the order of positions, everything up to the position `mark`; or all of it when the mark is `end`.
Once `seen` is of no further use it may be empty: `<epoch>;poll;;<upto>;end`.

With many transactions open a snapshot is long. Then its text stands once, in the body of a barrier message, and the
messages behind it name that barrier by its stream sequence: `<source epoch>;poll;@<sequence>;<mark>`. The barrier
itself says `@body` there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.snapshot import Snapshot

HEADER = "Tandem-Cursor"
END = "end"
#: A base longer than this stands once in a barrier instead of in every message.
LONGEST_BASE = 512
_ANCHOR = re.compile(r"@(\d+)", re.ASCII)
IN_BODY = "@body"


class CursorError(ValueError):
    """Text that is no cursor this relay understands; the message names the text."""


@dataclass(frozen=True, slots=True)
class PollCursor:
    """A position between two snapshots. `upto` None: nothing is half delivered, `position` is 0."""

    epoch: int
    seen: Snapshot | None = None
    upto: Snapshot | None = None
    position: int = 0

    @property
    def base(self) -> str:
        """The part that all events of one difference share."""
        seen = self.seen.text if self.seen else ""
        if self.upto is None:
            return f"{self.epoch};poll;;{seen}"
        return f"{self.epoch};poll;{seen};{self.upto.text}"

    @property
    def text(self) -> str:
        """The whole cursor in its long form."""
        return f"{self.base};{END if self.upto is None and self.seen else self.position}"


def mark(base: str, at: str) -> str:
    """The cursor with `base` (long or anchored) at a position, or at `end`."""
    return f"{base};{at}"


def anchored(base: str, sequence: int) -> str:
    """The short base that stands for a long one stored by the barrier message at `sequence`."""
    epoch, mode, _ = base.split(";", 2)
    return f"{epoch};{mode};@{sequence}"


def in_body(base: str) -> str:
    """The base that the barrier itself carries in its header while its body has the long one."""
    epoch, mode, _ = base.split(";", 2)
    return f"{epoch};{mode};{IN_BODY}"


def anchor_of(text: str) -> int | str | None:
    """The stream sequence of the barrier that a cursor refers to, IN_BODY, or None when the text is complete."""
    parts = text.split(";")
    if len(parts) == 4 and parts[2] == IN_BODY:
        return IN_BODY
    match = _ANCHOR.fullmatch(parts[2]) if len(parts) == 4 else None
    return int(match[1]) if match else None


def resolve(text: str, anchor_text: str) -> str:
    """The long form of the anchored cursor `text`, given the long cursor text that its barrier's body has."""
    return mark(anchor_text.rpartition(";")[0], text.rpartition(";")[2])


def parse(text: str) -> PollCursor:
    """Reads a cursor in its long form; CursorError when it is none, or of a mode that this relay cannot resume."""
    parts = text.split(";")
    if len(parts) < 3 or not parts[0].isdecimal() or not parts[0].isascii():
        raise CursorError(f"not a relay cursor: {text[:80]!r}")
    if parts[1] != "poll":
        raise CursorError(f"cursor of mode {parts[1][:20]!r}, which this relay cannot resume: {text[:80]!r}")
    if len(parts) != 5:
        raise CursorError(f"not a poll cursor: {text[:80]!r}")
    epoch, _, seen_text, upto_text, at = parts
    try:
        seen = Snapshot.parse(seen_text) if seen_text else None
        upto = Snapshot.parse(upto_text) if upto_text else None
    except ValueError as error:
        raise CursorError(f"not a poll cursor: {error}") from None
    if at == END and upto is not None:
        return PollCursor(int(epoch), upto)
    if not at.isdecimal() or not at.isascii() or (upto is None and (seen is not None or at != "0")):
        raise CursorError(f"not a poll cursor: {text[:80]!r}")
    return PollCursor(int(epoch), seen, upto, int(at))
