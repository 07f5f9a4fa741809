"""Reads the pages of an export of the journal, each in a snapshot of its own.

Positions are given out before their transactions commit. An export that went up to the highest visible position would
skip an event with a lower position that is committed later. So it goes up to a settled position only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from command_service.application.exporting.page_room import PageRoom
from command_service.application.exporting.ports import Snapshots, StoredEvent
from command_service.application.exporting.selections import EventSelection


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page. `last` is the position to resume after; `ended` says that no page follows."""

    events: list[Any]
    last: int
    ended: bool
    read_time: datetime
    source_epoch: int


class EventPages:
    """Reads pages of events. While they are read, events become messages one by one, as in `order_pages`."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def read(
        self, selection: EventSelection, page_size: int, represent: Callable[[StoredEvent], Any], *, copies: int = 1
    ) -> AsyncGenerator[EventPage]:
        """Yields at least one page, each with at most `page_size` events as `represent` gives them.

        The last page contains the last selected event that was committed when the call began. `copies` is how often
        such a message contains the event's content. Raises as Snapshots and Snapshot say.
        """
        until = await self._snapshots.settled_position()
        while True:
            async with self._snapshots.open() as snapshot:
                room, events, last, ended = PageRoom(), list[Any](), selection.after, True
                async with aclosing(snapshot.events(selection, until, page_size + 1)) as found:
                    async for event in found:
                        if len(events) == page_size or not room.takes(copies * event.size):
                            ended = False
                            break
                        events.append(represent(event))
                        last = event.position
            yield EventPage(events, last, ended, snapshot.read_time, snapshot.source_epoch)
            if ended:
                return
            selection = replace(selection, after=last)
