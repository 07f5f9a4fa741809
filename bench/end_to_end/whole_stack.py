"""Runs the whole stack as deployed (command service, relay, projector, query service), on servers that others share."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from bench.commands.servers import command_service
from bench.end_to_end.caller import Caller, calling
from bench.end_to_end.costs import Costs
from bench.harness.checkout import Checkout
from bench.harness.progress import tell
from bench.harness.rounds import NotMeasured
from bench.harness.servers import ReadServers
from bench.reads.read_side import ReadModel
from bench.relay.run import RelayRun, running_relay
from devstack.stack.service_process import run_once

#: How many callers warm a stack, and for how many seconds after each start.
WARMING, WARMING_SECONDS = 16, 3.0


@dataclass(frozen=True, slots=True)
class RunningStack:
    """The running processes of a version, and what calls them."""

    caller: Caller
    costs: Costs


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the services, with a database, a stream and indices of its own, all of which carry its `name`."""

    servers: ReadServers
    name: str
    checkout: Checkout
    database_url: str

    @classmethod
    async def prepared(cls, servers: ReadServers, name: str, checkout: Checkout) -> Version:
        """Makes an empty write model, the stream, and the indices."""
        url = await servers.postgres.ensure_database(f"bench_{name}")
        version = cls(servers, name, checkout, url)
        settings = {**checkout.environment, "COMMAND_DATABASE_URL": url}
        await run_once("migrate-command", ["command_service", "migrate"], settings, servers.directory / name)
        async with version._relay() as relay:
            await relay.wait_until_publishing("wal")  # the relay makes the stream
            await version.model.migrate()
        return version

    @property
    def stream(self) -> str:
        """The name of the stream."""
        return f"BENCH_{self.name.upper()}"

    @property
    def model(self) -> ReadModel:
        """The read model."""
        return ReadModel(self.servers, self.name, stream_name=self.stream, checkout=self.checkout)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[RunningStack]:
        """Runs all processes within the block."""
        servers, model = self.servers, self.model
        async with (
            command_service(servers.directory / f"{self.name}-command", self.database_url, self.checkout) as commands,
            self._relay() as relay,
            model.projecting() as projector,
            model.serving() as queries,
            calling(commands.address, queries.address) as caller,
        ):
            await relay.wait_until_publishing("wal")
            pids = {
                "command": commands.pid,
                "relay": relay.child.pid,
                "NATS": servers.nats.pid,
                "projector": projector.pid,
                "Elasticsearch": servers.elasticsearch.pid,
                "serve": queries.pid,
                "Postgres": servers.postgres.pid,
            }
            yield RunningStack(caller, Costs(pids, servers.elasticsearch.port, f"{self.name}-"))

    def _relay(self) -> contextlib.AbstractAsyncContextManager[RelayRun]:
        return running_relay(
            self.servers.directory / f"{self.name}-relay", self.database_url, self.servers.nats.url, "auto",
            self.checkout, stream=self.stream, subject_template=f"{self.name}.v1.{{partition}}.{{event_type}}",
            barrier_subject=f"{self.name}.v1.barrier",
        )  # fmt: skip


class OneStack:
    """Runs at most one version at a time, so that no other one uses the machine while it is measured."""

    def __init__(self) -> None:
        self._running: tuple[Version, RunningStack] | None = None
        self._block = contextlib.AsyncExitStack()

    async def of(self, version: Version) -> RunningStack:
        """Returns the running processes of a version. If another version runs, ends that one, and starts this one."""
        if self._running is None or self._running[0] is not version:
            await self.end()
            running = await self._block.enter_async_context(version.running())
            self._running = version, running
            await warming_loop(running.caller, WARMING_SECONDS)
        return self._running[1]

    async def end(self) -> None:
        """Ends the version that runs, if there is one."""
        self._running = None
        await self._block.aclose()


async def warming_loop(caller: Caller, seconds: float) -> int:
    """Lets WARMING callers place orders and read them back, by id and by a search in turn. Returns how many did.

    A cold system may refuse some of them or be late, which is no failure. Raises NotMeasured if every call failed.
    """
    works, failures = itertools.cycle([caller.readable, caller.searchable]), list[NotMeasured]()

    async def work() -> None:
        try:
            await next(works)()
        except NotMeasured as reason:
            failures.append(reason)

    done = await closed_loop(work, WARMING, seconds) - len(failures)
    if failures:
        tell(f"{len(failures)} calls failed while warming, first: {failures[0]}")
        if done == 0:
            raise failures[0]
    return done


async def closed_loop(work: Callable[[], Awaitable[None]], callers: int, seconds: float) -> int:
    """Lets `callers` callers do `work` again and again for `seconds` seconds. Returns how often they did it."""
    stop, done = time.perf_counter() + seconds, 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < stop:
            await work()
            done += 1

    await asyncio.gather(*(one() for _ in range(callers)))
    return done
