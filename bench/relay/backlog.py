"""Makes a backlog of outbox rows that can be drained repeatedly.

The rows are written once. Before each drain the stream, the replication slot and the relay's bookkeeping are reset. For
mode `wal` this works as follows. A relay first runs on the empty table until it publishes. A copy of its slot, and the
stream's last message with its cursor, are kept. Each drain begins with a new stream that contains only this message,
and with a copy of the kept slot, from which all rows are still to be read.
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

#: The kept slot, whose position in the log is before all rows. It is only copied, never read.
BASE_SLOT = "bench_base"


@dataclass(frozen=True, slots=True)
class Backlog:
    """`events` outbox rows in the database at `url`.

    A relay in mode `wal` resumes with `slot`, `publication` and the message `before`. `configuration` is that of the
    stream. `end` is the place in the write-ahead log after the rows. For mode `poll` only `url` and `events` are set.
    """

    url: str
    events: int
    slot: str
    publication: str
    before: StoredMessage
    configuration: Mapping[str, Any]
    end: str

    async def rewind(self, nats: Stream, mode: str) -> int:
        """Resets everything for a drain by a relay in `mode`. Returns the number of messages in the reset stream."""
        await nats.drop()
        await sql(self.url, "DELETE FROM relay_state")
        if mode == "poll":
            return 0
        await self.copy_slot(self.slot)
        await nats.create(self.configuration)
        await nats.publish(self.before)
        return 1

    async def copy_slot(self, name: str) -> None:
        """Creates the slot `name` as a copy of the kept slot. An existing slot of this name is dropped first."""
        await drop_slot(self.url, name)
        await sql(
            self.url,
            "SELECT pg_copy_logical_replication_slot(%(base)s, %(name)s)",
            {"base": BASE_SLOT, "name": name},
        )


async def make_backlog(servers: Servers, url: str, events: int, mode: str) -> Backlog:
    """Writes the rows and returns the backlog. With mode `poll` there is no slot, so only polling can drain it."""
    if mode == "poll":
        await load(url, events)
        return Backlog(url, events, "", "", StoredMessage("", {}, b"", 0.0), {}, "")
    async with Stream(servers.nats.url) as nats:
        await nats.drop()
        async with running_relay(servers.directory / "first-relay", url, servers.nats.url, mode) as relay:
            await relay.wait_until_publishing(mode)
        configuration = await nats.configuration()
        before = await nats.message({"last_by_subj": stream.BARRIER})
        # Leave out its fence headers, which refer to the old stream.
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
    """Drops the replication slot `name`, if it exists."""
    await sql(
        url,
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %(name)s",
        {"name": name},
    )
