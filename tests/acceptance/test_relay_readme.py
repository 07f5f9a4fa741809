"""Whoever follows the relay's README gets what it says: its SQL, settings, commands and consumer run, in both modes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.support.relay import streams
from tests.support.relay.log_mode import in_mode
from tests.support.relay.readme import README, block, least_role
from tests.support.relay.relay_process import RelayProcess, running

PROJECT = Path(__file__).parents[2]


def test_what_is_installed_alone_is_locked_and_enough_to_run_and_to_read() -> None:
    (lock,) = re.findall(r"install --require-hashes -r (\S+)", block("install"))
    locked = set(re.findall(r"(?m)^([a-z-]+)==", (PROJECT / lock).read_text()))
    assert {"psycopg", "nats-py", "pydantic-settings"} <= locked
    assert not {"sqlalchemy", "elasticsearch", "rich", "typer"} & locked


def settings() -> dict[str, str]:
    """What the exports of the README set."""
    words = [shlex.split(line) for line in block("settings").splitlines()]
    assert all(word[0] == "export" for word in words)
    return dict(word[1].split("=", 1) for word in words)


async def run(environment: dict[str, str], *command: str) -> str:
    """Standard output of a command that must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ.get("PATH", ""), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def command(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[0] == "python"
    return [sys.executable, *words[1:]]


@pytest.mark.parametrize("mode", ["auto", pytest.param("poll", marks=pytest.mark.long)])
async def test_the_relay_is_adopted_in_five_minutes(
    postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str, tmp_path: Path, mode: str
) -> None:
    def ours(text: str) -> str:
        """The run's servers are shared: stream and subjects of our own in place of the README's."""
        return re.sub(r"\bSHOP\b", stream_name, re.sub(r"\bshop\.", f"{subject_prefix}.", text))

    async with (
        least_role(postgres_database) as (role, url),
        await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection,
    ):
        environment = {name: ours(value) for name, value in settings().items()}
        environment |= {"RELAY_DATABASE_URL": url, "RELAY_NATS_URL": nats_url, "RELAY_MODE": mode}
        as_owner = environment | {"RELAY_DATABASE_URL": postgres_database}
        check, start = block("run").splitlines()
        fit = "settings are valid\ndatabase and stream are as they must be\n"
        assert await run(environment, *command(check)) == fit
        assert start == "python -m relay"  # which is what the process below runs
        async with running(RelayProcess(environment)) as relay:
            await in_mode(relay, "wal" if mode == "auto" else "poll")
            await connection.execute(block("write"))
            script = tmp_path / "reader.py"
            script.write_text(ours(block("read")))
            read = await run(environment, sys.executable, str(script))
            assert read.splitlines() == ['opened B-1 {"by": "Ada"}', 'filled B-1 {"items": 2}']
            healthy = json.loads(await run(as_owner, *command(block("adopt").strip())))
            assert not healthy["adopted"]
            page = await relay.page()
            for figure in re.findall(r"^\| `([a-z_]+)", README.partition("## What to watch")[2], re.MULTILINE):
                assert figure in page
            assert await relay.stop() == 0
        pruned = await connection.execute(block("prune").replace("8 days", "0 days"))
        assert pruned.rowcount == 1  # the last row stays
        await connection.execute("UPDATE source SET timeline = 7")  # as a failover leaves it
        async with running(RelayProcess(environment)) as relay:
            await relay.wait_for_state("SOURCE_CHANGED")
            found = json.loads(await run(as_owner, *command(block("adopt").strip())))["adoption"]
            assert (found["source_epoch"], found["published"], found["lost_events"]) == (2, 0, 0)
            await in_mode(relay, "wal" if mode == "auto" else "poll")
            await relay.stop()
        await leaves_nothing(connection, role)
    assert len([one for one in await streams.read_all(nats_url, stream_name) if one.is_event]) == 2


async def leaves_nothing(connection: psycopg.AsyncConnection[tuple[object, ...]], role: str) -> None:
    """Does as the README says to leave, and looks for what is left."""
    of_ours = "FROM pg_replication_slots WHERE database = current_database()"
    deadline = time.monotonic() + 120
    while (await connection.execute(f"SELECT {of_ours} AND active")).rowcount:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    await connection.execute(re.sub(r"\brelay;", f"{role};", block("leave")))
    left = await connection.execute(
        f"SELECT slot_name {of_ours} UNION ALL SELECT pubname FROM pg_publication"
        " UNION ALL SELECT rolname FROM pg_roles WHERE rolname = %s"
        " UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
        [role],
    )
    assert {name for (name,) in await left.fetchall()} == {"outbox", "source"}
