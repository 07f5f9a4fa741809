"""Stores many ids that are close together, such as transaction ids or positions, at about two bytes each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from relay.events.snapshot import Snapshot

#: A page of so few bits fits in a machine word, which Python changes more quickly than a longer number.
_PAGE_BITS = 6
_LOW = (1 << _PAGE_BITS) - 1


class IdSet:
    """A set of ids ≥ 0. Millions of neighbours cost little memory; ids far apart cost some 200 bytes each."""

    __slots__ = ("_pages",)

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._pages: dict[int, int] = {}
        for one in ids:
            self.add(one)

    def add(self, one: int) -> None:
        """Adds an id."""
        page = one >> _PAGE_BITS
        self._pages[page] = self._pages.get(page, 0) | 1 << (one & _LOW)

    def __contains__(self, one: int) -> bool:
        return self._pages.get(one >> _PAGE_BITS, 0) >> (one & _LOW) & 1 == 1

    def __bool__(self) -> bool:
        return bool(self._pages)

    def __len__(self) -> int:
        return sum(bits.bit_count() for bits in self._pages.values())

    def __iter__(self) -> Iterator[int]:
        """Returns the ids in ascending order."""
        for page in sorted(self._pages):
            yield from self._of_page(page)

    def not_seen_by(self, snapshot: Snapshot) -> list[int]:
        """Takes the ids as transaction ids and returns those that `snapshot` does not see, ascending."""
        unseen = [one for one in snapshot.in_progress if one in self]
        first = snapshot.xmax >> _PAGE_BITS
        for page in sorted(page for page in self._pages if page >= first):
            unseen.extend(one for one in self._of_page(page) if one >= snapshot.xmax)
        return unseen

    def _of_page(self, page: int) -> Iterator[int]:
        bits, start = self._pages[page], page << _PAGE_BITS
        while bits:
            lowest = bits & -bits
            yield start + lowest.bit_length() - 1
            bits ^= lowest
