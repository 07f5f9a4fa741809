"""A filling or another step of a rebuild that is killed after any of its requests, and is run again, is done then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tandem.orders.partition import partition_of

from query_service.application.comparing.compare import Comparison, ReadModelComparison
from query_service.application.ports.generations import Phase, Rebuild, StoredRebuild
from query_service.application.rebuilding import filling, rebuilds
from query_service.application.rebuilding.filling import Filler
from query_service.application.rebuilding.leases import LEASE, held_by_others, reported
from query_service.application.rebuilding.machine import RebuildRefused, Tail, phase_of
from query_service.application.rebuilding.rebuilds import Rebuilds
from query_service.application.rebuilding.stored_state import change
from query_service.storage.memory import MemoryStore
from tests.support.queries.memory_source import MemorySource
from tests.support.queries.rebuild_world import RebuildWorld
from tests.support.source_mutants import Mutant, noticed

#: Orders, of which some have two versions: two ranges, each of several pages.
ORDERS = 16
SECOND = 1_000_000


class Killed(BaseException):
    """Nothing of the process goes on after this."""


class Life:
    """Lets a process live for so many requests. The last one is answered, and the process never sees the answer."""

    def __init__(self, requests: int | None = None) -> None:
        self.left = requests

    def spend(self) -> None:
        """Counts a request."""
        if self.left is None:
            return
        self.left -= 1
        if self.left <= 0:
            raise Killed

    def of(self, server: Any) -> Any:
        """Returns the server as this process sees it."""
        return _Requests(self, server)


class _Requests:
    def __init__(self, life: Life, server: Any) -> None:
        self._life, self._server = life, server

    def __getattr__(self, name: str) -> Any:
        ask = getattr(self._server, name)
        if not callable(ask):
            return ask

        async def pages(*of: Any, **how: Any) -> AsyncIterator[Any]:
            self._check()
            async for page in ask(*of, **how):
                self._life.spend()
                yield page

        async def answered(*of: Any, **how: Any) -> Any:
            self._check()
            answer = await ask(*of, **how)
            self._life.spend()
            return answer

        return pages if name in ("journals", "heads", "scan") else answered

    def _check(self) -> None:
        if self._life.left == 0:
            raise Killed


class Servers:
    """What outlives the processes: the state of the rebuild, the consumers, the new generation, the write side."""

    def __init__(self) -> None:
        self.stored = StoredRebuild(None, 0)
        self.store, self.source = MemoryStore(), MemorySource()
        self.consumers: dict[str, Tail] = {}
        self.now, self.sequence = 100 * SECOND, 5
        for number in range(ORDERS):
            self.source.place(versions=1 + number % 2)

    async def rebuild(self) -> StoredRebuild:
        """See Generations, also for the methods that follow."""
        return self.stored

    async def save(self, rebuild: Rebuild, stored: StoredRebuild) -> bool:
        if stored.guard != self.stored.guard:
            return False
        self.stored = StoredRebuild(rebuild, stored.guard + 1)
        return True

    async def serving(self) -> str:
        return "g1"

    async def read_model(self) -> str:
        return "model"

    async def blocked(self) -> str:
        return ""

    async def prepare_state(self) -> None: ...

    async def settle(self, generation: str) -> None: ...

    async def create(self, generation: str, *consumer: Any) -> None:
        """Creates a generation, or its consumer when its tail is given."""
        for tail in consumer[:1]:
            self.consumers.setdefault(generation, tail)

    async def end(self) -> Tail:
        """Returns the end of the stream, which grows."""
        self.sequence += 1
        return Tail(1, self.sequence)

    async def journals(self, selection: Any) -> AsyncIterator[Any]:
        """See OrderSource."""
        async for page in self.source.journals(selection):
            yield page

    async def split(self, parts: int) -> Any:
        """Returns two ranges."""
        found = await self.source.split(parts)
        ids = sorted(self.source.journals_by_id)
        return type(found)([ids[ORDERS // 2]], ORDERS)


class NoPause:
    """A pacer that no test waits for."""

    async def pause(self, reason: str) -> None:
        raise AssertionError(reason)

    def resume(self) -> None: ...


def actions_of(servers: Servers, seen: Any) -> Rebuilds:
    """Returns the actions of a process that sees the servers as `seen`."""
    no_stores: Any = None
    return Rebuilds(seen, seen, no_stores, lambda: servers.now)


async def fill(servers: Servers, life: Life, process: str, *, join: bool = False) -> Rebuild:
    """Runs `start` as one process."""
    seen = life.of(servers)
    rebuild = await actions_of(servers, seen).start(seen, process=process, join=join)
    if rebuild.phase is not Phase.FILLING:
        return rebuild
    store = life.of(servers.store)
    filler = Filler(seen, seen, store, NoPause, process=process, stream="ORDERS", now=lambda: servers.now)
    return await filler.run(2, rebuild.rebuild_id)


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets workers report in each turn of the loop, so that a kill meets every state."""
    monkeypatch.setattr(filling, "REPORT_SECONDS", 0)
    monkeypatch.setattr(rebuilds, "LOOK_SECONDS", 0)


async def test_a_filling_goes_on_after_a_kill_at_any_point() -> None:
    kills = 0
    while True:
        servers = Servers()
        tails = []
        try:
            await fill(servers, Life(kills + 1), "dead")
        except Killed:
            kills += 1
        else:
            break
        if servers.stored.rebuild is not None:
            tails.append(servers.stored.rebuild.tail_sequence)
        servers.now += LEASE + 1
        filled = await fill(servers, Life(), "next", join=True)
        assert filled.phase is Phase.CATCHING_UP, kills
        assert filled.filled_orders == ORDERS, kills
        assert [servers.consumers["g2"].sequence] == (tails or [servers.sequence]), kills
        expected = MemoryStore()
        await servers.source.project_into(expected)
        ids = sorted(servers.source.journals_by_id)
        assert await servers.store.orders(ids) == await expected.orders(ids), kills
        for order_id in ids:
            versions = range(1, len(servers.source.journals_by_id[order_id]) + 1)
            assert await servers.store.entries(order_id, versions) == await expected.entries(order_id, versions), kills
    assert kills > ORDERS


async def killed_while_filling(servers: Servers) -> None:
    """Leaves a rebuild whose ranges belong to two workers of the dead process `dead`."""
    with pytest.raises(Killed):
        await fill(servers, Life(16), "dead")
    rebuild = servers.stored.rebuild
    assert rebuild is not None
    assert {part.worker for part in rebuild.parts} == {"dead/1", "dead/2"}


async def started(servers: Servers, process: str, on_look: Callable[[], Awaitable[None]]) -> list[str]:
    """Starts again as another process. Returns for whose leases it waited. `on_look` is run with each look."""
    waited: list[str] = []
    rebuild = servers.rebuild

    async def looked_at() -> StoredRebuild:
        if waited:
            await on_look()
        return await rebuild()

    seen: Any = Life().of(servers)
    seen.rebuild = looked_at
    await actions_of(servers, seen).start(seen, process=process, on_waiting=waited.extend)
    return waited


async def test_a_start_waits_for_the_leases_of_the_dead() -> None:
    servers = Servers()
    await killed_while_filling(servers)
    begun = servers.now

    async def time_passes() -> None:
        servers.now += SECOND

    assert await started(servers, "next", time_passes) == ["dead/1", "dead/2"]
    assert servers.now - begun > LEASE


async def test_a_process_takes_its_own_leases_back_at_once() -> None:
    servers = Servers()
    await killed_while_filling(servers)

    async def never() -> None:
        raise AssertionError("it waited")

    assert await started(servers, "dead", never) == []
    assert (await fill(servers, Life(), "dead")).filled_orders == ORDERS


async def test_a_start_is_refused_as_soon_as_a_lease_is_renewed() -> None:
    servers = Servers()
    await killed_while_filling(servers)
    begun = servers.now

    async def one_lives() -> None:
        servers.now += SECOND
        generations: Any = servers
        rebuild = servers.stored.rebuild
        assert rebuild is not None
        await change(generations, rebuild.rebuild_id, lambda one: reported(one, {0: one.parts[0]}, servers.now))

    with pytest.raises(RebuildRefused, match=r"dead/1 fill it; add --join"):
        await started(servers, "next", one_lives)
    assert servers.now - begun <= 2 * SECOND


async def test_only_a_start_that_joins_accepts_a_rebuild_that_is_filled() -> None:
    servers = Servers()
    await fill(servers, Life(), "first")
    assert (await fill(servers, Life(), "again", join=True)).phase is Phase.CATCHING_UP
    with pytest.raises(RebuildRefused, match="not over"):
        await fill(servers, Life(), "again")


# -- the other steps -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A step of a rebuild: from which phase and readers' generation, to which; which generations are left then.

    `requests`: it sends more than so many. `done`: what a repetition is refused with when only the answer was missing.
    """

    phase: Phase
    serving: str
    after: Phase
    serving_after: str
    left: frozenset[str] = frozenset({"g1", "g2"})
    requests: int = 4
    done: str = "nothing"


STEPS = {
    "verify": Step(Phase.CATCHING_UP, "g1", Phase.VERIFIED, "g1", requests=12),
    "switch": Step(Phase.VERIFIED, "g1", Phase.SWITCHED, "g2", requests=10, done="g2 answers readers already"),
    "roll_back": Step(Phase.SWITCHED, "g2", Phase.ROLLED_BACK, "g1", requests=7, done="g1 answers readers already"),
    "finish": Step(Phase.SWITCHED, "g2", Phase.FINISHED, "g2", frozenset({"g2"})),
    "cancel": Step(Phase.CATCHING_UP, "g1", Phase.CANCELLED, "g1", frozenset({"g1"})),
}


async def world_before(step: Step) -> RebuildWorld:
    """Returns both generations with the same orders, before the step."""
    switched = step.phase is Phase.SWITCHED
    world = RebuildWorld(Phase.VERIFIED if switched else step.phase, serving=step.serving)
    assert world.stored is not None
    world.stored = replace(world.stored, switched_at=1 if switched else 0)
    for versions in (1, 2):
        world.source.place(versions)
    for store in world.stores.values():
        await world.source.project_into(store)
        store.covers(world.source.time)
    return world


async def run_step(world: RebuildWorld, life: Life, name: str) -> None:
    """Runs a step as one process."""
    seen, source = life.of(world), life.of(world.source)
    actions = Rebuilds(seen, seen, lambda generation: life.of(world.stores[generation]), lambda: 5)

    async def compare(store: Any) -> Comparison:
        return await ReadModelComparison(store, source, partition_of, lambda: 0.0, patience=0)(1_000)

    await (actions.verify(source, compare) if name == "verify" else getattr(actions, name)())


async def killed_at_any_point(name: str) -> None:
    """The test: a step is killed after each of its requests in turn, and then run again."""
    step, kills = STEPS[name], 0
    while True:
        world = await world_before(step)
        try:
            await run_step(world, Life(kills + 1), name)
        except Killed:
            kills += 1
        else:
            break
        moved, refused = world.readers != step.serving, ""
        try:
            await run_step(world, Life(), name)
        except RebuildRefused as refusal:
            refused = str(refusal)
        assert refused == (step.done if moved else ""), kills
        assert world.stored is not None
        assert (phase_of(world.stored, world.readers), world.readers) == (step.after, step.serving_after), kills
        assert (frozenset(world.stores), frozenset(world.consumers)) == (step.left, step.left), kills
    assert kills > step.requests


@pytest.mark.parametrize("name", STEPS)
async def test_a_step_is_done_after_a_kill_at_any_point(name: str) -> None:
    await killed_at_any_point(name)


async def test_a_finish_is_done_after_a_kill_at_any_point() -> None:
    await killed_at_any_point("finish")


#: What goes wrong → the mutant, and the test that must notice it.
MUTANTS: dict[str, tuple[Mutant, Callable[[], Awaitable[None]]]] = {
    "progress names orders that are not written": (
        Mutant(Filler._fill, "done_until=page.last_order_id or part.done_until", "done_until=part.until"),
        test_a_filling_goes_on_after_a_kill_at_any_point,
    ),
    "the end of the stream is noted when the filling goes on": (
        Mutant(Rebuilds._begin, "rebuild.tail_sequence)", "(await self._tails.end()).sequence)"),
        test_a_filling_goes_on_after_a_kill_at_any_point,
    ),
    "a start takes ranges of workers that may live": (
        Mutant(Rebuilds.start, "elif not join:", "elif False:"),
        test_a_start_is_refused_as_soon_as_a_lease_is_renewed,
    ),
    "a start does not wait for the dead": (
        Mutant(Rebuilds.start, "elif not join:", "elif False:"),
        test_a_start_waits_for_the_leases_of_the_dead,
    ),
    "a finish that is run again deletes nothing": (
        Mutant(Rebuilds._end, "if serving != kept:", "if rebuild.ended: return rebuild\n    if serving != kept:"),
        test_a_finish_is_done_after_a_kill_at_any_point,
    ),
    "a process waits for its own leases": (
        Mutant(held_by_others, 'worker.rpartition("/")[0] != process', "worker"),
        test_a_process_takes_its_own_leases_back_at_once,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_filling_that_does_not_survive_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    with noticed(at_work):
        await check()
