"""Runs an operator's actions on a rebuild: start, verify, switch, roll back, finish, cancel.

Each action checks the phase, does its work, and stores the result. The work can be repeated, so an action that was
killed is simply run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from query_service.application.comparing.compare import MOST_FINDINGS, Comparison
from query_service.application.comparing.parked_apart import parked_apart
from query_service.application.ports.checked_store import CheckedStore
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.generations import Generations, Phase, Rebuild
from query_service.application.ports.order_source import OrderSource
from query_service.application.ports.read_store import Freshness
from query_service.application.rebuilding.leases import held_by_others, holders, parts_until, renewed
from query_service.application.rebuilding.machine import (
    Action,
    RebuildRefused,
    Tail,
    check,
    next_generation,
    phase_of,
)
from query_service.application.rebuilding.stored_state import change, check_same

#: Ranges that the orders are divided into. Many, so that workers of several processes end at about the same time.
PARTS = 32
#: How long a generation may take to get as fresh as it must be, and how often that is looked up, in seconds.
CATCH_UP_SECONDS, LOOK_SECONDS = 60.0, 0.1
_MICROSECONDS = 1_000_000


class StreamTails(Protocol):
    """Creates the consumers through which a stream feeds the generations. Raises DependencyDown."""

    async def end(self) -> Tail:
        """Returns the end of the stream now."""

    async def create(self, generation: str, tail: Tail, read_model: str) -> None:
        """Creates the consumer of a generation, which begins after `tail`; safe to repeat."""

    async def delete(self, generation: str) -> None:
        """Deletes the consumer of a generation; safe to repeat."""


@dataclass(frozen=True, slots=True)
class RebuildStatus:
    """The last rebuild as operators see it.

    `rate` is in orders per second since the filling began; `seconds_left` is None while it cannot be told. `problem`
    says why the rebuild does not go on; "" when it does.
    """

    rebuild: Rebuild
    phase: Phase
    serving: str
    rate: float
    seconds_left: float | None
    workers: tuple[str, ...] = ()
    problem: str = ""


def status_of(rebuild: Rebuild, serving: str, now: int, blocked: str = "") -> RebuildStatus:
    """Returns the status of a rebuild. `now` is in microseconds since 1970.

    `blocked` says why nothing can be written. Workers cannot store it then, so it comes before what they stored.
    """
    until = rebuild.filled_at or now
    seconds = (until - rebuild.filling_since) / _MICROSECONDS
    rate = rebuild.filled_orders / seconds if rebuild.filling_since and seconds > 0 else 0.0
    left = max(0, rebuild.orders - rebuild.filled_orders) / rate if rate and rebuild.phase is Phase.FILLING else None
    phase = phase_of(rebuild, serving)
    workers = tuple(holders(rebuild, now))
    return RebuildStatus(rebuild, phase, serving, rate, left, workers, blocked or rebuild.problem)


async def rebuild_status(generations: Generations | None, now: Callable[[], int]) -> RebuildStatus | None:
    """Returns the status of the last rebuild; None when there was none, or the store has no generations."""
    if generations is None or (rebuild := (await generations.rebuild()).rebuild) is None:
        return None
    blocked = "" if rebuild.ended else await generations.blocked()
    return status_of(rebuild, await generations.serving(), now(), blocked)


class Rebuilds:
    """Runs the actions. `store` returns a generation's store; the caller closes it. `now`: microseconds since 1970.

    `compare` compares a generation with the write side. Every method raises RebuildRefused, DependencyDown and
    ReadStoreNotReady.
    """

    def __init__(
        self,
        generations: Generations,
        tails: StreamTails,
        store: Callable[[str], CheckedStore],
        now: Callable[[], int],
    ) -> None:
        self._generations, self._tails, self._store, self._now = generations, tails, store, now

    async def status(self) -> RebuildStatus | None:
        """Returns the status of the last rebuild; None when there was none."""
        return await rebuild_status(self._generations, self._now)

    async def start(
        self,
        source: OrderSource,
        *,
        process: str = "",
        join: bool = False,
        on_waiting: Callable[[Sequence[str]], None] = lambda workers: None,
    ) -> Rebuild:
        """Begins a rebuild, or goes on with one that was interrupted. Returns it, ready to be filled.

        A rebuild that other workers than those of `process` fill now is refused, unless `join`. If they are dead, this
        waits until their leases end, and tells `on_waiting` whose they are. With `join`, a rebuild that is filled
        already is returned too, so a Job that was killed just before its end may run again.
        """
        stored, serving = await self._generations.rebuild(), await self._generations.serving()
        rebuild = stored.rebuild
        if join and rebuild is not None and phase_of(rebuild, serving) in (Phase.CATCHING_UP, Phase.VERIFIED):
            return rebuild
        check(rebuild, serving, Action.START)
        if rebuild is None or rebuild.ended:
            await self._delete_left(rebuild, serving)
            await self._generations.prepare_state()
            rebuild = await self._prepared(serving, next_generation(rebuild, serving))
            if not await self._generations.save(rebuild, stored):
                raise RebuildRefused("another rebuild was started at the same moment; see `tandem rebuild status`")
        if rebuild.phase is Phase.PREPARED:
            rebuild = await self._begin(rebuild, source)
        elif not join:
            await self._wait_for_dead_workers(rebuild, process, on_waiting)
        return rebuild

    async def _wait_for_dead_workers(
        self, first: Rebuild, process: str, on_waiting: Callable[[Sequence[str]], None]
    ) -> None:
        """Waits until the leases of other processes end. Raises RebuildRefused when one is renewed or taken anew.

        A worker that lives renews its lease every second, and one that was killed never does. So it is known soon which
        of the two it is.
        """
        if workers := held_by_others(first, process, self._now()):
            on_waiting(workers)
        rebuild: Rebuild | None = first
        while rebuild is not None and held_by_others(rebuild, process, self._now()):
            if living := renewed(first, rebuild):
                raise RebuildRefused(
                    f"the rebuild of {rebuild.old} into {rebuild.new} is running: {', '.join(living)} fill it; add"
                    " --join to fill it with more workers"
                )
            await asyncio.sleep(LOOK_SECONDS)
            rebuild = (await self._generations.rebuild()).rebuild

    async def _delete_left(self, ended: Rebuild | None, serving: str) -> None:
        """Deletes what a `finish` or `cancel` that was killed left of the last rebuild."""
        if ended is None:
            return
        gone = ended.old if ended.phase is Phase.FINISHED else ended.new
        if gone != serving:
            await self._delete(gone, serving)

    async def _prepared(self, old: str, new: str) -> Rebuild:
        """Returns a new rebuild. The end of the stream is noted before any order is exported.

        So an event is in an export, or after that end in the stream, or in both.
        """
        end = await self._tails.end()
        return Rebuild(
            rebuild_id=str(uuid.uuid4()),
            old=old,
            new=new,
            phase=Phase.PREPARED,
            started_at=self._now(),
            tail_sequence=end.sequence,
            stream_created_at=end.stream_created_at,
        )

    async def _begin(self, rebuild: Rebuild, source: OrderSource) -> Rebuild:
        tail = Tail(rebuild.stream_created_at, rebuild.tail_sequence)
        await self._generations.create(rebuild.new)
        await self._tails.create(rebuild.new, tail, await self._generations.read_model())
        split = await source.split(PARTS)

        def filling(stored: Rebuild) -> Rebuild:
            if stored.ended:
                raise RebuildRefused(f"the rebuild into {rebuild.new} was cancelled meanwhile")
            if stored.phase is not Phase.PREPARED:
                return stored  # another process came first
            return replace(
                stored,
                phase=Phase.FILLING,
                orders=split.orders,
                parts=parts_until(split.until_order_ids),
                filling_since=self._now(),
            )

        return await change(self._generations, rebuild.rebuild_id, filling)

    async def verify(
        self, source: OrderSource, compare: Callable[[CheckedStore], Awaitable[Comparison]]
    ) -> tuple[Rebuild, Comparison]:
        """Compares the new generation with the write side, and marks it as verified when they are equal.

        An event that the new generation parked is a difference, unless the old one does not have it either.
        """
        rebuild = await self._checked(Action.VERIFY)
        committed = (await source.digests()).read_time
        async with _closing(self._store(rebuild.new)) as store, _closing(self._store(rebuild.old)) as old:
            await check_release(store, rebuild.new)
            await self._as_fresh_as(
                store, rebuild.new, committed, asyncio.get_running_loop().time() + CATCH_UP_SECONDS, beside=old
            )
            await store.refresh()
            found = await compare(store)
            found = replace(found, findings=[*found.findings, *await parked_apart(store, old, MOST_FINDINGS)])

        serving = await self._generations.serving()

        def marked(stored: Rebuild) -> Rebuild:
            check(stored, serving, Action.VERIFY)
            if found.findings:
                return replace(stored, phase=Phase.CATCHING_UP, problem=f"not equal: {found.findings[0].detail}")
            return replace(stored, phase=Phase.VERIFIED, verified_at=self._now(), problem="")

        return await change(self._generations, rebuild.rebuild_id, marked), found

    async def switch(self) -> Rebuild:
        """Lets the new generation answer readers, once it is as fresh as the old one and searchable."""
        rebuild = await self._move(Action.SWITCH)

        def switched(stored: Rebuild) -> Rebuild:
            return replace(stored, switched_at=self._now())

        return await change(self._generations, rebuild.rebuild_id, switched)

    async def roll_back(self) -> Rebuild:
        """Lets the old generation answer readers again, once it is as fresh as the new one and searchable."""
        return await self._move(Action.ROLLBACK)

    async def finish(self) -> Rebuild:
        """Ends the rebuild, and deletes the old generation; safe to repeat."""
        return await self._end(Action.FINISH, Phase.FINISHED)

    async def cancel(self) -> Rebuild:
        """Gives the rebuild up, and deletes the new generation; safe to repeat."""
        return await self._end(Action.CANCEL, Phase.CANCELLED)

    async def _end(self, action: Action, phase: Phase) -> Rebuild:
        rebuild, serving = await self._checked(action), await self._generations.serving()
        gone, kept = (rebuild.old, rebuild.new) if phase is Phase.FINISHED else (rebuild.new, rebuild.old)
        if serving != kept:
            raise RebuildRefused(f"generation {serving} answers readers, and not {kept}; so {gone} is not deleted")

        def ended(stored: Rebuild) -> Rebuild:
            check(stored, serving, action)
            return stored if stored.ended else replace(stored, phase=phase, ended_at=self._now(), problem="")

        rebuild = await change(self._generations, rebuild.rebuild_id, ended)
        await self._delete(gone, kept)
        return rebuild

    async def _checked(self, action: Action, rebuild_id: str = "") -> Rebuild:
        """Returns the rebuild, of this id, if the action is allowed now. Raises RebuildRefused otherwise."""
        rebuild = (await self._generations.rebuild()).rebuild
        check(rebuild, await self._generations.serving(), action)
        assert rebuild is not None
        check_same(rebuild, rebuild_id or rebuild.rebuild_id)
        return rebuild

    async def _move(self, action: Action) -> Rebuild:
        """Moves the readers to the other generation, once it is as fresh as theirs, and all of it is searchable.

        This takes a while. So it is checked again whether the action is still allowed.
        """
        rebuild = await self._checked(action)
        before, after = rebuild.old, rebuild.new
        if action is Action.ROLLBACK:
            before, after = after, before
        async with _closing(self._store(before)) as reading, _closing(self._store(after)) as other:
            if action is Action.SWITCH:
                await check_release(other, after)
                if blocked := await self._generations.blocked():  # readers could be moved, and it could not be noted
                    raise RebuildRefused(f"generation {after} is not switched to: {blocked}")
            await self._catch_up(reading, other, after)
        await self._checked(action, rebuild.rebuild_id)
        await self._generations.serve(after, instead_of=before)
        return rebuild

    async def _catch_up(self, reading: CheckedStore, other: CheckedStore, generation: str) -> None:
        """Makes `generation`, the store `other`, as fresh as the one that readers read, and searchable.

        The readers' generation goes on meanwhile. So all of it is done twice, and the second time takes little. Readers
        then lose at most what their generation gains during that. Raises RebuildRefused.
        """
        deadline = asyncio.get_running_loop().time() + CATCH_UP_SECONDS
        for _ in range(2):
            time = _time_of(await reading.freshness())
            await self._as_fresh_as(other, generation, time, deadline, beside=reading)
            await self._generations.refresh(generation)

    async def _as_fresh_as(
        self, store: CheckedStore, generation: str, time: int, deadline: float, *, beside: CheckedStore
    ) -> None:
        """Waits until everything committed before `time` is applied. Raises RebuildRefused after `deadline`.

        `beside` is the other generation. How fresh it is tells what is wrong.
        """
        while (known := _time_of(await store.freshness())) < time:
            if asyncio.get_running_loop().time() > deadline:
                late = f"{(time - known) / _MICROSECONDS:.1f} s less" if known else "nothing"
                raise RebuildRefused(
                    f"generation {generation} does not catch up: it shows {late} than it must after"
                    f" {CATCH_UP_SECONDS:g} s; {await self._why_late(beside, time)}"
                )
            await asyncio.sleep(LOOK_SECONDS)

    async def _why_late(self, beside: CheckedStore, time: int) -> str:
        """Returns what to look at when a generation does not show what was committed before `time`.

        Barriers come to both generations. So if the other one lags too, they may come to none.
        """
        if blocked := await self._generations.blocked():
            return blocked
        try:
            known = _time_of(await beside.freshness())
        except (DependencyDown, ReadStoreNotReady):  # it is lost
            known = time
        if known >= time:
            return "is a projector running whose release fits it? (`projector_feeds`)"
        return (
            "the other generation lags too: is the relay publishing (`tandem relay status`), and is a projector"
            " running?"
        )

    async def _delete(self, generation: str, kept: str) -> None:
        await self._generations.delete(generation, kept)
        await self._tails.delete(generation)


async def check_release(store: CheckedStore, generation: str) -> None:
    """Checks that a generation is made for this release. Another one would fill it otherwise, or judge it wrongly.

    Raises RebuildRefused when it is not, and DependencyDown.
    """
    try:
        await store.identity()
    except ReadStoreNotReady as another:
        raise RebuildRefused(f"generation {generation}: {another}; use the release that began the rebuild") from None


def _time_of(known: Freshness | None) -> int:
    return 0 if known is None else known.as_of


@contextlib.asynccontextmanager
async def _closing(store: CheckedStore) -> AsyncIterator[CheckedStore]:
    try:
        yield store
    finally:
        await store.close()
