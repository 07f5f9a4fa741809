"""A backlog that can be drained again and again: rows written once, stream, slot and bookkeeping set back each time.

For the log, a relay is run on the empty table first, until it streams. What it leaves (the stream's last message with
its cursor, and the slot) is kept: each run begins with a new stream that holds that message only, and with a copy of
the slot, which precedes all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.harness import stream
from bench.harness.servers import Servers, sql
from bench.harness.stream import StoredMessage, Stream
from bench.relay.outbox_rows import load
from bench.relay.run import running_relay

#: Stands before all rows, and is never read from.
BASE_SLOT = "bench_base"


@dataclass(frozen=True, slots=True)
class Backlog:
    """`events` rows in `url`; `slot`, `publication` and `before` are what a relay of the log goes on from. `end` is the
    log position after the rows."""

    url: str
    events: int
    slot: str
    publication: str
    before: StoredMessage
    configuration: Mapping[str, Any]
    end: str

    async def rewind(self, nats: Stream, mode: str) -> int:
        """Sets everything back, for a relay in `mode`; the stream's last sequence then."""
        await nats.drop()
        await sql(self.url, "DELETE FROM relay_state")
        if mode == "poll":
            return 0
        await self.copy_slot(self.slot)
        await nats.create(self.configuration)
        await nats.publish(self.before)
        return 1

    async def copy_slot(self, name: str) -> None:
        """Makes the slot `name` stand before the rows."""
        await drop_slot(self.url, name)
        await sql(
            self.url,
            "SELECT pg_copy_logical_replication_slot(%(base)s, %(name)s)",
            {"base": BASE_SLOT, "name": name},
        )


async def make_backlog(servers: Servers, url: str, events: int, mode: str) -> Backlog:
    """Writes the rows. With mode `poll` there is no slot, and only polling can drain them."""
    if mode == "poll":
        await load(url, events)
        return Backlog(url, events, "", "", StoredMessage("", {}, b"", 0.0), {}, "")
    async with Stream(servers.nats.url) as nats:
        await nats.drop()
        async with running_relay(servers.directory / "first-relay", url, servers.nats.url, mode) as relay:
            await relay.wait_until_publishing(mode)
        configuration = await nats.configuration()
        before = await nats.message({"last_by_subj": stream.BARRIER})
        # What it was fenced with belongs to the stream it was in.
        before = replace(before, headers={k: v for k, v in before.headers.items() if not k.startswith("Nats-")})
        await nats.drop()
    slot = before.headers["Tandem-Cursor"].split(";")[2]
    await drop_slot(url, BASE_SLOT)
    await sql(url, "SELECT pg_copy_logical_replication_slot(%(slot)s, %(base)s)", {"slot": slot, "base": BASE_SLOT})
    await load(url, events)
    end = (await sql(url, "SELECT pg_current_wal_flush_lsn()::text"))[0][0]
    publication = (await sql(url, "SELECT pubname FROM pg_publication"))[0][0]
    return Backlog(url, events, slot, publication, before, configuration, end)


async def drop_slot(url: str, name: str) -> None:
    """Drops the slot, if there is one."""
    await sql(
        url,
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %(name)s",
        {"name": name},
    )
