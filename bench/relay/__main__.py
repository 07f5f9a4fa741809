"""`make bench-relay`: measures how fast the relay is, compares it with a peer and with floors, and checks the limits.

Prints one JSON object per claim and exits with 1 when one of them is false. FULL=1 also measures what has no limit.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial

from bench.harness.claim import Claim, at_least, at_most, compare
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, Results, Run, interleave
from bench.harness.servers import Servers, running_servers
from bench.harness.settings import BenchSettings
from bench.relay.backlog import Backlog, make_backlog
from bench.relay.beside import RATE as REPLAY_RATE
from bench.relay.beside import replaying
from bench.relay.decoding import decode, logged_rows
from bench.relay.drain import drain
from bench.relay.floors import SameSize, nats_bench, recvlogical
from bench.relay.order_samples import order_events
from bench.relay.outbox_rows import make_database, small_samples
from bench.relay.peers import Peers
from bench.relay.steady import steady

PEER = "debezium-tuned"
LAZY, ALWAYS = "wal 400 B", "wal 400 B, sync always"
WRITTEN, LOOP = "function written for the table", "loop over the columns"
FLOOR = "nats bench async with ids"
SAME_SIZE = "nats bench async with ids, messages as large as ours"
BESIDE = "wal 400 B beside a replay"
#: Peers that are told beside, without a limit.
OTHER_PEERS = ("walbox", "mq-bridge", "faststream-outbox")
#: The most ms from a commit until the event is acknowledged with each publish synced to disk, at the 99th percentile.
SYNCED_P99_MS = 15.0


async def main() -> int:
    """Measures, judges the claims, and returns the exit status."""
    settings = BenchSettings.load()
    tell(settings.line(f"{settings.events} events"))
    async with running_servers() as servers:
        peers = Peers(settings, servers)
        await peers.install()
        await peers.seed()
        small = await _backlog(servers, settings, "bench_small", "wal", real=False)
        decodes = await interleave(await _decodes(small), settings.rounds, "decode")
        drains = await interleave(await _drains(settings, servers, peers, small), settings.rounds, "drain")
        steadies = await interleave(await _steadies(settings, servers, peers, small), settings.rounds, "steady")
    claims = [*_decode_claims(decodes), *_drain_claims(drains), *_steady_claims(steadies)]
    return report({"decode": decodes, "drain": drains, "steady": steadies}, claims)


async def _backlog(servers: Servers, settings: BenchSettings, name: str, mode: str, *, real: bool) -> Backlog:
    samples = await order_events(servers) if real else small_samples()
    return await make_backlog(servers, await make_database(servers, name, samples), settings.events, mode)


async def _decodes(backlog: Backlog) -> dict[str, Run]:
    """Returns the runs that compare two ways to decode a row of the write-ahead log."""
    rows = await logged_rows(backlog)
    return {WRITTEN: partial(decode, rows, rows.decoder.event), LOOP: partial(decode, rows, rows.decoder.by_column)}


async def _drains(settings: BenchSettings, servers: Servers, peers: Peers, small: Backlog) -> dict[str, Run]:
    """Returns the contenders of the drain by name, in the order in which a round runs them."""

    def ours(backlog: Backlog, mode: str, nats_url: str) -> Run:
        return partial(drain, servers.directory / f"drain-{mode}", nats_url, backlog, mode)

    sizes = SameSize(settings, servers.nats)
    contenders: dict[str, Run] = {
        FLOOR: sizes.floor,
        "nats bench atomic with ids": partial(nats_bench, settings, servers.nats, "atomic"),
        "pg_recvlogical": partial(recvlogical, servers.postgres, small),
        LAZY: partial(sizes.ours, ours(small, "wal", servers.nats.url)),
        SAME_SIZE: sizes.same,
        PEER: partial(peers.drain, PEER),
        ALWAYS: ours(small, "wal", servers.nats_always.url),
        **{peer: partial(peers.drain, peer) for peer in OTHER_PEERS},
    }
    if settings.full:
        large = await _backlog(servers, settings, "bench_after_image", "wal", real=True)
        contenders["poll 400 B"] = ours(small, "poll", servers.nats.url)
        contenders["poll 400 B, sync always"] = ours(small, "poll", servers.nats_always.url)
        for mode in ("wal", "poll"):
            contenders[f"{mode} after-image"] = ours(large, mode, servers.nats.url)
            contenders[f"{mode} after-image, sync always"] = ours(large, mode, servers.nats_always.url)
    return contenders


async def _steadies(settings: BenchSettings, servers: Servers, peers: Peers, small: Backlog) -> dict[str, Run]:
    """Returns the contenders of the steady load by name."""
    await make_database(servers, "bench_steady", small_samples())

    def ours(mode: str, nats_url: str) -> Callable[..., Awaitable[Figures]]:
        directory = servers.directory / f"steady-{mode}"
        return partial(steady, directory, servers.postgres, "bench_steady", nats_url, mode, settings)

    def beside_a_replay() -> AbstractAsyncContextManager[None]:
        return replaying(servers.directory / "replay", small, servers.nats.url, REPLAY_RATE)

    contenders: dict[str, Run] = {
        LAZY: ours("wal", servers.nats.url),
        BESIDE: partial(ours("wal", servers.nats.url), beside=beside_a_replay),
        PEER: partial(peers.steady, PEER),
        ALWAYS: partial(ours("wal", servers.nats_always.url), subscribed=True),
    }
    if settings.full:
        contenders["poll 400 B"] = ours("poll", servers.nats.url)
    return contenders


def _decode_claims(results: Results) -> list[Claim]:
    ours, theirs = (results.median(one, "us_per_row") for one in (WRITTEN, LOOP))
    return [
        compare(
            "decode, wal 400 B: CPU per row of the function written for the table against a loop over its columns",
            "us", ours, theirs, at_most(0.6), results.why_not(WRITTEN, LOOP),
        ),
    ]  # fmt: skip


def _drain_claims(results: Results) -> list[Claim]:
    rate, cpu = partial(results.median, figure="rate"), partial(results.median, figure="cpu_us_per_event")
    return [
        compare(
            "drain, wal 400 B: events/s against Debezium Server tuned",
            "events/s", rate(LAZY), rate(PEER), at_least(4), results.why_not(LAZY, PEER),
        ),
        compare(
            "drain, wal 400 B: events/s against nats bench async with message ids",
            "events/s", rate(LAZY), rate(FLOOR), at_least(0.6), results.why_not(LAZY, FLOOR),
        ),
        compare(
            "drain, wal 400 B: CPU per event against Debezium Server tuned",
            "us", cpu(LAZY), cpu(PEER), at_most(0.12), results.why_not(LAZY, PEER),
        ),
        compare(
            "drain, wal 400 B: events/s with sync_interval always against lazy",
            "events/s", rate(ALWAYS), rate(LAZY), at_least(0.5), results.why_not(ALWAYS, LAZY),
        ),
        _told(f"drain, wal 400 B: events/s against {SAME_SIZE}", rate, SAME_SIZE, results),
        *(_told(f"drain, wal 400 B: events/s against {peer}", rate, peer, results) for peer in OTHER_PEERS),
    ]  # fmt: skip


def _told(claim: str, rate: Callable[[str], float | None], other: str, results: Results) -> Claim:
    """Returns a comparison that has no limit."""
    reason = results.why_not(LAZY, other) or "told beside it without a limit"
    return replace(compare(claim, "events/s", rate(LAZY), rate(other), at_least(1)), holds=None, reason=reason)


def _steady_claims(results: Results) -> list[Claim]:
    return [
        compare(
            f"steady, wal 400 B: {quantile} of commit to stored against Debezium Server tuned",
            "ms",
            results.median(LAZY, f"{quantile}_ms"),
            results.median(PEER, f"{quantile}_ms"),
            limit,
            results.why_not(LAZY, PEER),
        )
        for quantile, limit in (("p50", at_most(0.25)), ("p99", at_most(0.5)))
    ] + [
        compare(
            f"steady, wal 400 B: p99 of commit to stored beside a replay of {REPLAY_RATE} events/s against without one",
            "ms", results.median(BESIDE, "p99_ms"), results.median(LAZY, "p99_ms"), at_most(1.5),
            results.why_not(BESIDE, LAZY),
        ),
        compare(
            f"steady, wal 400 B, sync always: p99 of commit to ack (to a subscriber) against {SYNCED_P99_MS:.0f} ms",
            "ms", results.median(ALWAYS, "delivered_p99_ms"), SYNCED_P99_MS, at_most(1), results.why_not(ALWAYS),
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
