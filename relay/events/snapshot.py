"""Reads Postgres's `pg_snapshot`: which transactions had ended when it was taken."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

_TEXT = re.compile(r"(\d+):(\d+):((?:\d+(?:,\d+)*)?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one transaction of Postgres sees: which transaction ids had ended when the snapshot was taken.

    Ids below `xmin` had ended. Ids from `xmax` on had not. Of the ids between the two, those in `in_progress`
    (ascending) had not ended, and all others had. The text form is `xmin:xmax:xip,xip,…`.
    """

    xmin: int
    xmax: int
    in_progress: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Reads the text form. Raises ValueError for other text."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"not a pg_snapshot: {text[:80]!r}")
        xmin, xmax = int(match[1]), int(match[2])
        in_progress = tuple(int(part) for part in match[3].split(",")) if match[3] else ()
        if not xmin <= xmax or any(
            not xmin <= one < (in_progress[i + 1] if i + 1 < len(in_progress) else xmax)
            for i, one in enumerate(in_progress)
        ):
            raise ValueError(f"not a pg_snapshot: {text[:80]!r}")
        return cls(xmin, xmax, in_progress)

    @classmethod
    def parse_exported(cls, text: str) -> Snapshot:
        """Reads the text of a snapshot that a slot exported.

        Its `xmax` may be below its `xmin`, if the last transactions before the slot were rolled back. Then all ids
        below `xmin` had ended, and no others. Raises ValueError for other text.
        """
        xmin, _, rest = text.partition(":")
        xmax, _, in_progress = rest.partition(":")
        if xmin.isdecimal() and xmax.isdecimal() and int(xmax) < int(xmin) and not in_progress:
            return cls(int(xmin), int(xmin))
        return cls.parse(text)

    @property
    def text(self) -> str:
        """The text form, as Postgres prints it."""
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, self.in_progress))}"

    def sees(self, transaction_id: int) -> bool:
        """Returns whether that transaction had ended when the snapshot was taken."""
        if transaction_id < self.xmin:
            return True
        if transaction_id >= self.xmax:
            return False
        at = bisect_left(self.in_progress, transaction_id)
        return at == len(self.in_progress) or self.in_progress[at] != transaction_id

    def ended_until(self, later: Snapshot) -> list[int]:
        """Returns the ids, ascending, that are in progress in this snapshot and that `later` sees as ended."""
        return [one for one in self.in_progress if later.sees(one)]

    def sees_as_much_as(self, later: Snapshot) -> bool:
        """Returns whether no transaction ended between this snapshot and `later`, which was taken after it."""
        return self.xmax == later.xmax and not self.ended_until(later)

    def includes(self, other: Snapshot) -> bool:
        """Returns True if this snapshot sees every transaction that `other` sees.

        Returns False if `other` has the higher `xmax`, even if it sees none of the ids from our `xmax` on as ended.
        """
        return self.xmax >= other.xmax and not any(other.sees(one) for one in self.in_progress)
