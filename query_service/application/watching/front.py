"""Follows the stream up to the last change that reads show.

The look-ups also say which orders are redacted. Their earlier changes pass without personal data.

Changes pass in the order of the stream, so every watcher gets the versions of an order in order. A change that is not
readable yet holds back those after it, because it will be readable within moments. A parked change may not be readable
for days. It is set aside, and passes when it is healed, or right before a later version of its order. A change that no
read will ever show is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from query_service.application.ports.read_store import ShownOrder
from query_service.application.watching.change import Change, Passed, erase_redacted, is_readable

#: The most changes that one look-up is about, and the most that are set aside and looked up with them.
AT_ONCE = 200
#: The most messages that wait here, and the most bytes of them; then no more are taken from the stream.
MOST_WAITING, MOST_WAITING_BYTES = 500, 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the front to `position`; `owed` changes before it are set aside. `change` passed with it, if any.

    `as_of`: everything committed before it has passed, except what is owed; None while unknown.
    """

    change: Change | None
    position: int
    owed: tuple[int, ...]
    as_of: int | None


class Front:
    """The front of one stream.

    `shown` looks up what reads show, `is_parked` tells whether a version of an order is parked, and `settled` what
    becomes of changes that are neither (see Settled). `position`: every message up to this sequence has passed, or is
    in `aside` by its sequence. `at_once`: the most messages that pass in one step.
    """

    def __init__(
        self,
        shown: Callable[[Sequence[str]], Awaitable[Sequence[ShownOrder]]],
        is_parked: Callable[[str, int], bool],
        settled: Callable[[Sequence[Change]], Awaitable[Mapping[int, bool]]],
        position: int,
        aside: Iterable[Change] = (),
        *,
        at_once: int = AT_ONCE,
    ) -> None:
        self._shown, self._is_parked, self._settled, self._at_once = shown, is_parked, settled, at_once
        self.position = position
        self.as_of: int | None = None
        self.aside: dict[int, Change] = {change.sequence: change for change in aside}
        #: The orders that the last look-up showed as redacted.
        self.redacted: Set[str] = frozenset()
        self._waiting: deque[Change | Passed] = deque()
        self._waiting_bytes = 0
        self._owed = tuple(sorted(self.aside))
        self._turn = 0

    @property
    def waiting(self) -> int:
        """The number of messages that have not passed."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no more messages should arrive now."""
        return len(self._waiting) >= MOST_WAITING or self._waiting_bytes >= MOST_WAITING_BYTES

    @property
    def owed(self) -> tuple[int, ...]:
        """The sequences of the changes that are set aside, in ascending order."""
        return self._owed

    def awaited(self) -> list[str]:
        """Returns the orders of which a notice would let the front move on."""
        first = next((item.order_id for item in self._waiting if isinstance(item, Change)), None)
        aside = [self.aside[sequence].order_id for sequence in self._owed[:AT_ONCE]]
        return aside if first is None else [first, *aside]

    def arrived(self, message: Change | Passed) -> None:
        """Adds the stream's next message."""
        self._waiting.append(message)
        self._waiting_bytes += _size(message)

    def set_aside(self, change: Change) -> None:
        """Adds a change of an earlier place that is not readable yet."""
        self.aside[change.sequence] = change
        self._owed = tuple(sorted(self.aside))

    async def advance(self) -> list[Step]:
        """Looks once at what reads show, and returns the steps that this allows. Raises what `shown` raises."""
        upcoming = [item for item, _ in zip(self._waiting, range(self._at_once), strict=False)]
        changes = [*self._some_aside(), *(item for item in upcoming if isinstance(item, Change))]
        orders = list(dict.fromkeys(change.order_id for change in changes))
        shown = dict(zip(orders, await self._shown(orders), strict=True)) if orders else {}
        erase_redacted(changes, shown)
        self.redacted = {order_id for order_id, order in shown.items() if order.redacted}
        parked = await self._parked(changes, shown)
        steps = self._healed(shown, parked)
        for item in upcoming:
            passed: Change | None = None
            if isinstance(item, Passed):
                self.as_of = item.time if item.time is not None else self.as_of
            elif is_readable(item, shown[item.order_id]):
                passed = item
            elif item.sequence not in parked:
                break
            elif parked[item.sequence]:
                self.set_aside(item)
            self._waiting.popleft()
            self._waiting_bytes -= _size(item)
            self.position = item.sequence
            steps.append(self._step(passed))
        return steps

    async def _parked(self, changes: Iterable[Change], shown: Mapping[str, ShownOrder]) -> dict[int, bool]:
        """Returns, by sequence, whether a change is parked: of those that are not readable, and need not be waited for.

        One that is not parked will never be readable.
        """
        unread = [change for change in changes if not is_readable(change, shown[change.order_id])]
        parked = {change.sequence: True for change in unread if self._is_parked(change.order_id, change.edition[1])}
        others = [change for change in unread if change.sequence not in parked]
        return {**parked, **(await self._settled(others) if others else {})}

    def _some_aside(self) -> list[Change]:
        """Returns the changes set aside that are looked up this time: all, or the next ones in turn."""
        begin = self._turn if self._turn < len(self._owed) else 0
        self._turn = begin + AT_ONCE
        return [self.aside[sequence] for sequence in self._owed[begin : self._turn]]

    def _healed(self, shown: Mapping[str, ShownOrder], parked: Mapping[int, bool]) -> list[Step]:
        """Lets the changes pass that were set aside and are readable now, or whose order has a later version now.

        One that is no longer parked and will never be readable is forgotten.
        """
        steps: list[Step] = []
        for sequence in self._owed:
            change = self.aside[sequence]
            readable = change.order_id in shown and is_readable(change, shown[change.order_id])
            if readable or not parked.get(sequence, True):
                del self.aside[sequence]
                self._owed = tuple(sorted(self.aside))
                steps.append(self._step(change if readable else None))
        return steps

    def _step(self, change: Change | None) -> Step:
        return Step(change, self.position, self._owed, self.as_of)


def _size(item: Change | Passed) -> int:
    return item.size if isinstance(item, Change) else 0
