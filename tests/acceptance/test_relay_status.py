"""`tandem relay status`: one screen about all relays of an outbox, from their own pages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.support.relay.log_mode import in_mode
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.world import World

TANDEM = Path(sys.executable).parent / "tandem"
SECONDS = 60.0


def command(relays: list[RelayProcess], *options: str) -> list[str]:
    addresses = [part for relay in relays for part in ("--address", relay.address)]
    return [str(TANDEM), "relay", "status", *addresses, *options]


async def shown(relays: list[RelayProcess], *options: str) -> tuple[int, str]:
    """Exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *command(relays, *options), env={**os.environ, "COLUMNS": "200"}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def eventually(
    relays: list[RelayProcess], wanted: Callable[[dict[str, Any]], object]
) -> tuple[int, dict[str, Any]]:
    """Looks until the document is as wanted; exit code and document."""
    deadline = time.monotonic() + SECONDS
    while True:
        code, out = await shown(relays, "--json")
        document = json.loads(out)
        if wanted(document):
            return code, document
        assert time.monotonic() < deadline, document


async def test_one_screen_about_all_relays(world: World) -> None:
    async with running(world.relay()) as first, running(world.relay()) as second:
        await in_mode(first, "wal")
        await second.wait_for_state("STANDBY")
        await world.insert(50)
        await world.drained(first)
        relays = [second, first]
        # Right after the hand-over the stream's last position may still be one of polling, and no bytes can be told.
        code, seen = await eventually(
            relays,
            lambda seen: (
                seen["state"] == "up"
                and seen["slot"]
                and seen["backlog_events"] == 0
                and seen["behind_bytes"] is not None
            ),
        )
        assert code == 0
        assert (seen["leader"], seen["standbys"], seen["mode"]) == (first.address, 1, "wal")
        assert (seen["parked_aggregates"], seen["loss"]) == (0, None)
        assert seen["behind_bytes"] >= 0
        assert (seen["slot"]["status"], seen["slot"]["active"]) == ("reserved", True)
        code, out = await shown(relays)
        assert code == 0
        for text in ("wal", f"{first.address}, term 1", "0 events", "reserved, read", "STANDBY", "PUBLISHING", "none"):
            assert text in out, out
        assert len(out.splitlines()) < 24

        # an event that no stream takes
        await world.insert(1, values="gen_random_uuid(), 1, ('\"' || repeat('x', 2000000) || '\"')::json")
        code, seen = await eventually(relays, lambda seen: seen["parked_aggregates"])
        assert code == 1
        assert seen["problems"] == ["1 aggregates are parked"]
        async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
            await connection.execute("TRUNCATE outbox_parked")

        await first.kill()
        code, seen = await eventually(relays, lambda seen: seen["leader"] == second.address)
        assert code == 1
        assert seen["problems"][0] == f"{first.address} does not answer"
        await second.kill()
        code, seen = await eventually(relays, lambda seen: seen["state"] == "down")
        assert code == 3
        code, out = await shown(relays)
        assert code == 3
        assert "down" in out


async def test_a_relay_that_stands_still_says_why(world: World) -> None:
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute("CREATE TABLE source (epoch bigint, system_identifier text, timeline int)")
        await connection.execute("INSERT INTO source VALUES (1, 'another', 1)")
    async with running(world.relay()) as relay:
        await relay.wait_for_state("SOURCE_CHANGED")
        code, out = await shown([relay])
        assert code == 1
        assert "run `python -m relay adopt`" in " ".join(out.split())
        assert "no relay leads" in out


async def test_watching_goes_on_until_ctrl_c(world: World) -> None:
    async with running(world.relay()) as relay:
        await relay.wait_for_state("PUBLISHING")
        process = await asyncio.create_subprocess_exec(
            *command([relay], "--watch", "--json"), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(3):
            line = await asyncio.wait_for(process.stdout.readline(), SECONDS)
            assert json.loads(line)["leader"] == relay.address
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), SECONDS) in {0, 1}


async def test_wrong_use_is_named() -> None:
    process = await asyncio.create_subprocess_exec(
        TANDEM, "relay", "status", "--address", stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"--address" in err
