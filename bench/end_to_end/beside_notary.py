"""`make bench-notary`: what the notary of the audit log costs a PlaceOrder and the relay.

Commands arrive at RATE per second for STEADY_SECONDS, and a relay publishes their events. In every other run a notary
reads the stream, writes the log and signs, and the run ends when the log has every event. Other runs measure the relay:
it publishes a backlog, alone or with a notary that reads the same stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from bench.commands.beside_exports import steady
from bench.commands.rows import make_write_model
from bench.commands.servers import Serving, command_service
from bench.harness import stream
from bench.harness.claim import Claim, at_most, compare
from bench.harness.process_usage import cpu_seconds
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, NotMeasured, Results, Run, interleave
from bench.harness.servers import Servers, running_servers, sql
from bench.harness.settings import BenchSettings
from bench.relay.backlog import Backlog, make_backlog
from bench.relay.drain import drain
from bench.relay.outbox_rows import make_database, small_samples
from bench.relay.run import STOP_SECONDS, running_relay
from devstack.servers.child import Child
from devstack.servers.ports import HOST, free_port
from devstack.stack.service_process import run_once

ALONE, BESIDE = "alone", "beside a notary"
#: Events of the relay's backlog. At fewer, the processor time is too short to tell 3 µs an event.
BACKLOG = 40_000
#: The pause between two looks, and the longest wait for the end of a run, in seconds.
_LOOK, _LONGEST = 0.2, 60.0
MOST_RELAY_MICROSECONDS = 3.0


class Bench:
    """One write model, and a log that a notary writes in some runs."""

    def __init__(self, settings: BenchSettings, servers: Servers, url: str) -> None:
        self._settings, self._servers, self._url = settings, servers, url
        self._audit = {
            "AUDIT_DATABASE_URL": url,
            "AUDIT_NATS_URL": servers.nats.url,
            "AUDIT_STREAM": stream.NAME,
            "AUDIT_KEY_FILE": str(servers.directory / "audit" / "log.key"),
            "AUDIT_PROBES_LISTEN": f"{HOST}:{free_port()}",
        }

    async def migrate(self) -> None:
        """Makes the log's tables and its key."""
        await run_once("audit-migrate", ["audit", "migrate"], self._audit, self._servers.directory)

    async def commands(self, ours: Serving, *, notary: bool) -> Figures:
        """Measures commands; the log has caught up with earlier ones before the first is sent."""
        async with self._notary() if notary else contextlib.nullcontext() as pid:
            if pid:
                await self._until("the log has every event", self._logged)
            events = self._settings.rate * self._settings.steady_seconds
            before = cpu_seconds(pid) if pid else 0.0
            figures = dict(await steady(self._settings, ours))
            if pid:
                await self._until("the log has every event", self._logged)
                figures["notary_us_per_event"] = 1e6 * (cpu_seconds(pid) - before) / events
        figures["server_us_per_order"] = 1e6 * figures["server_cpu_s"] / events
        return figures

    async def drain(self, backlog: Backlog, *, notary: bool) -> Figures:
        """Measures how a relay publishes the backlog."""
        async with self._notary() if notary else contextlib.nullcontext():
            return await drain(self._servers.directory / "drain", self._servers.nats.url, backlog, "poll")

    @contextlib.asynccontextmanager
    async def _notary(self) -> AsyncIterator[int]:
        """Runs a notary within the block; yields its process id. It waits for the stream if there is none."""
        child = await Child.spawn(
            [sys.executable, "-m", "audit", "notary"],
            directory=self._servers.directory,
            log=self._servers.directory / "notary.log",
            account=None,
            environment=self._audit,
            death_signal=signal.SIGTERM,
        )
        try:
            yield child.pid
            if child.exit_status is not None:
                raise NotMeasured(f"the notary ended: {child.log_tail(5)}")
        finally:
            await child.stop(signal.SIGTERM, STOP_SECONDS)

    async def _logged(self) -> bool:
        [(events, leaves)] = await sql(
            self._url,
            "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM audit_leaf WHERE kind = 'event')",
        )
        return bool(events == leaves)

    async def _until(self, what: str, done: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + _LONGEST
        while not await done():
            if time.monotonic() > deadline:
                raise NotMeasured(f"after {_LONGEST:g} s it was not so that {what}")
            await asyncio.sleep(_LOOK)


async def main() -> int:
    """Measures everything, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(steady_seconds=5)
    tell(settings.line(f"{settings.rate} commands/s for {settings.steady_seconds} s"))
    async with running_servers() as servers:
        url = await make_write_model(servers, "bench_notary", 0)
        bench = Bench(settings, servers, url)
        await bench.migrate()
        async with (
            command_service(servers.directory / "ours", url) as ours,
            running_relay(servers.directory / "relay", url, servers.nats.url, "poll") as relay,
        ):
            await relay.wait_until_publishing("poll")
            commands = await interleave(_both(partial(bench.commands, ours)), settings.rounds, "commands")
        rows = await make_database(servers, "bench_notary_backlog", small_samples())
        backlog = await make_backlog(servers, rows, BACKLOG, "poll")
        drains = await interleave(_both(partial(bench.drain, backlog)), settings.rounds, "drain")
    claims = [*_command_claims(commands, settings), _relay_claim(drains)]
    return report({"commands": commands, "drain": drains}, claims)


def _both(run: Callable[..., Awaitable[Figures]]) -> dict[str, Run]:
    return {ALONE: partial(run, notary=False), BESIDE: partial(run, notary=True)}


def _command_claims(results: Results, settings: BenchSettings) -> list[Claim]:
    return [
        compare(
            f"PlaceOrder at {settings.rate}/s: {what} beside a notary against alone, medians",
            unit,
            results.median(BESIDE, figure),
            results.median(ALONE, figure),
            at_most(1.05),
            results.why_not(ALONE, BESIDE),
        )
        for what, unit, figure in (
            ("median time", "ms", "p50_ms"),
            ("processor time of the command service", "us", "server_us_per_order"),
        )
    ]


def _relay_claim(results: Results) -> Claim:
    more = [
        beside["cpu_us_per_event"] - alone["cpu_us_per_event"]
        for alone, beside in zip(results.runs.get(ALONE, ()), results.runs.get(BESIDE, ()), strict=False)
    ]
    return compare(
        "the relay: processor time an event more beside a notary, against the 3 µs that it may be",
        "us",
        statistics.median(more) if more else None,
        MOST_RELAY_MICROSECONDS,
        at_most(1.0),
        results.why_not(ALONE, BESIDE),
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
