"""Parked aggregates go on when an operator says so: each event once, in its order, through a crash of the leader."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from relay.__main__ import main, parser
from relay.parking.command import ParkedQuestion, ParkedReport, run_parked
from service_runtime.plain_text import json_text
from tests.support.relay import streams
from tests.support.relay.log_mode import KNOWN, in_mode
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.restores import SOURCE, adopt
from tests.support.relay.tables import OUTBOX
from tests.support.relay.world import World

PROJECT = Path(__file__).parents[3]
#: The relay's image has this command; `tandem` needs a checkout.
IN_THE_IMAGE = (sys.executable, "-m", "relay", "parked")
TANDEM = (Path(sys.executable).parent / "tandem", "relay", "parked")
BAD = "00000000-0000-0000-0000-000000000001"
SECONDS = 120.0
#: An id as somebody chooses it who would have the operator's terminal; what of it must not get there.
EVIL = "evil\x1b[2J\x9b1m\r\u202e\u2028x"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]")


async def said(world: World, *words: str | Path, **settings: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command with the relay's settings."""
    process = await asyncio.create_subprocess_exec(
        *words,
        env={"PATH": os.environ.get("PATH", ""), **world.settings, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def parked(world: World, *words: str, by: Sequence[str | Path] = ()) -> tuple[int, dict[str, Any]]:
    """A command of parked events with `--json`: exit code and document, but for the database that it names.

    It is run by the program `by`, or without one in this process.
    """
    if by:
        code, out, err = await said(world, *by, *words, "--json")
        assert out, err
    else:
        given = vars(parser().parse_args(["parked", *words]))
        options = {name: given[name] for name in ("aggregate_id", "position", "wait") if name in given}
        report = await run_parked(
            world.configured(), ParkedQuestion(given["action"], **options), patience_seconds=SECONDS
        )
        code, out = report.exit_code, json_text({"error": report.error} if report.error else report.document)
    document = json.loads(out)
    if "error" not in document:
        assert document.pop("database") == world.database_url.rpartition("@")[2]
    return code, document


async def write(world: World, version: int, event_type: str = "ORDER_REVISED") -> None:
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO outbox (aggregate_id, aggregate_version, event_type) VALUES (%s, %s, %s)",
            [BAD, version, event_type],
        )


async def put_right(world: World) -> None:
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute("UPDATE outbox SET event_type = 'ORDER_REVISED'")


async def with_parked(world: World, relay: RelayProcess) -> None:
    """Version 2 fits in no subject; 3 and 4 must follow it."""
    await write(world, 1)
    await write(world, 2, "not a subject")
    await write(world, 3)
    await write(world, 4)
    await world.insert(20)
    await world.drained(relay)
    assert (await relay.page())["parked_aggregates"] == 1


async def versions(world: World) -> list[int]:
    return [version for aggregate, version in await world.events() if aggregate == BAD]


@pytest.mark.parametrize("mode", ["wal", pytest.param("poll", marks=pytest.mark.long)])
async def test_a_retry_publishes_them_in_order_and_the_aggregate_goes_on(world: World, mode: str) -> None:
    world.settings["RELAY_MODE"] = mode
    async with running(world.relay()) as relay:
        await in_mode(relay, mode)
        await with_parked(world, relay)
        code, document = await parked(world, "list")
        assert code == 0
        (found,) = document["parked"]
        assert (found["aggregate_type"], found["aggregate_id"], found["events"]) == ("order", BAD, 3)
        assert "subject" in found["reason"]
        code, document = await parked(world, "show", BAD)
        (shown,) = document["parked"]
        assert [one["aggregate_version"] for one in shown.pop("parked_events")] == [2, 3, 4]
        assert (code, shown) == (0, found)
        code, document = await parked(world, "retry", BAD)
        assert code == 1
        assert "published 0 events; the next one is refused again: event_type" in document["error"]
        for words in (("list",), ("retry", BAD)):
            by_tandem = await parked(world, *words, by=TANDEM)
            assert by_tandem == await parked(world, *words, by=IN_THE_IMAGE), words
        await put_right(world)
        assert await parked(world, "retry", BAD) == (0, {"outcome": "published 3 events"})
        await write(world, 5)
        await world.drained(relay)
        assert await parked(world, "list") == (0, {"parked": []})
        assert (await relay.page())["parked_aggregates"] == 0
        assert await versions(world) == [1, 2, 3, 4, 5]
        code, document = await parked(world, "retry", BAD)
        assert (code, document["error"]) == (1, f"nothing is parked of aggregate {BAD}")
        await relay.stop()
    async with running(world.relay()) as relay:
        await in_mode(relay, mode)
        await world.drained(relay)
        await relay.stop()
    assert await versions(world) == [1, 2, 3, 4, 5]
    assert KNOWN not in relay.text


async def test_what_people_and_scripts_are_told(world: World) -> None:
    async with running(world.relay()) as relay:
        await with_parked(world, relay)
        assert await relay.stop() == 0
    code, out, err = await said(world, *IN_THE_IMAGE, "show", BAD)
    assert (code, err) == (0, "")
    first, *events = out.splitlines()
    assert first.startswith(f"order {BAD}: 3 events since 20"), out
    assert [line.split(",")[0] for line in events] == [f"  position {n} version {n}" for n in (2, 3, 4)]
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO outbox_parked (position, aggregate_type, aggregate_id, reason, parked_at)"
            " VALUES (1000, 'order', %s, %s, now())",
            [EVIL, EVIL],
        )
    for words in (("list",), ("list", "--json"), ("show", EVIL), ("show", EVIL[:-1])):
        code, out, err = await said(world, *IN_THE_IMAGE, *words)
        assert code == (1 if words[-1] == EVIL[:-1] else 0), err
        assert not STEERING.search(out + err), words
        assert "evil" in out + err, words
    for asked, code, sentence in (
        (ParkedQuestion("retry", "nobody"), 1, "nothing is parked of aggregate nobody"),
        (ParkedQuestion("discard", BAD, "basket"), 1, f"nothing is parked of aggregate {BAD}"),
        (ParkedQuestion("discard", BAD, position=2, wait=0), 1, "requested; no leader has carried it out within 0 s"),
    ):
        assert await run_parked(world.configured(), asked, patience_seconds=SECONDS) == ParkedReport(
            code, error=sentence
        )
    world.settings["RELAY_DATABASE_URL"] = "postgresql://postgres@127.0.0.1:1/orders"
    report = await run_parked(world.configured(), ParkedQuestion("list"))
    assert report.exit_code == 3
    assert report.error.startswith("the database 127.0.0.1:1/orders cannot be reached: ")


@pytest.mark.parametrize(
    "words",
    [
        "parked",
        "parked retry",
        "parked list --all",
        "adopt now",
        "sideways",
        "run --json",
        "replay",
        "replay --from 1",
        "replay --to R",
        *(f"replay --from 1 --to R --rate {word}" for word in ("0", "-1", "1.5", "fast", "٣")),
        *(f"parked retry A --wait {word}" for word in ("nan", "inf", "-1", "1_0", "soon", "٣")),
        *(f"parked discard A --position {word}" for word in ("1_0", "-1", "1.5", "9223372036854775808", "٣")),
    ],
)
def test_what_is_misused_ends_with_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert "usage: python -m relay" in capsys.readouterr().err


@pytest.mark.long
async def test_what_is_discarded_is_never_published(
    postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    """Not by an adoption either, which publishes whatever else the stream lacks."""
    world = await World.make(postgres_database, nats_url, stream_name, subject_prefix, OUTBOX + SOURCE)
    async with running(world.relay()) as relay:
        await with_parked(world, relay)
        _, document = await parked(world, "list")
        position = str(document["parked"][0]["first_position"])
        assert await parked(world, "discard", BAD, "--position", position) == (0, {"outcome": "discarded 1 events"})
        assert await parked(world, "retry", BAD) == (0, {"outcome": "published 2 events"})
        await relay.stop()
    await put_right(world)
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute("UPDATE source SET timeline = 7")
    assert (await adopt(world)).found["published"] == 0
    assert await versions(world) == [1, 3, 4]


#: The mutant: a source that reads the whole table does not ask what was discarded.
BELIEVES_THE_TABLE = """
import relay.sources.poll as module
async def discarded_positions(connection, name):
    return frozenset()
module.discarded_positions = discarded_positions
"""


@pytest.mark.parametrize("mutant", ["", pytest.param(BELIEVES_THE_TABLE, marks=pytest.mark.long)], ids=["", "mutant"])
async def test_a_stream_that_is_filled_anew_has_nothing_discarded(world: World, mutant: str) -> None:
    async with running(world.relay()) as relay:
        await with_parked(world, relay)
        assert await parked(world, "discard", BAD) == (0, {"outcome": "discarded 3 events"})
        await relay.stop()
    await put_right(world)
    await streams.delete_stream(world.nats_url, world.stream)
    async with running(world.relay(prelude=mutant)) as relay:
        await world.drained(relay)
        await relay.stop()
    assert await versions(world) == ([1, 2, 3, 4] if mutant else [1])
    assert len(await world.events()) == (24 if mutant else 21)


#: Killed when the events are in the stream and still parked.
DIES = """
import os, signal, relay.parking.requests as module
async def dying(self, positions):
    os.kill(os.getpid(), signal.SIGKILL)
module.ParkedRequests.published = dying
"""
#: The mutant: a retry that was begun does not ask the stream what it has already.
FORGETS = """
import relay.parking.requests as module
async def begin(self, request, stored_sequence):
    pass
module.ParkedRequests.begin = begin
"""


@pytest.mark.parametrize("mutant", ["", pytest.param(FORGETS, marks=pytest.mark.long)], ids=["", "mutant"])
async def test_a_leader_killed_in_the_middle_publishes_none_twice(world: World, mutant: str) -> None:
    async with running(world.relay(prelude=DIES)) as relay:
        await with_parked(world, relay)
        await put_right(world)
        code, document = await parked(world, "retry", BAD, "--wait", "0")
        assert code == 1
        assert "no leader has carried it out" in document["error"]
        await relay.ended(SECONDS)
    assert await versions(world) == [1, 2, 3, 4]
    async with running(world.relay(prelude=mutant)) as relay:
        deadline = time.monotonic() + SECONDS
        while (await parked(world, "list"))[1]["parked"]:
            assert time.monotonic() < deadline, relay.text
        await write(world, 5)
        await world.drained(relay)
        await relay.stop()
    assert await versions(world) == [1, 2, 3, 4, 5]
    # The server's window would catch the mutant for a minute; the relay itself must know.
    assert (KNOWN in relay.text) == bool(mutant)


#: The relay does not know that the stream takes short messages only, so the stream refuses them.
BLIND = """
import relay.stream.sink as sink
limits = sink.MessageLimits
sink.MessageLimits = lambda max_payload: limits(1_000_000)
"""


async def test_a_retry_that_the_stream_refuses_again_is_answered_under_load(world: World) -> None:
    """Other events are sent before the refused ones come again, as many as there are."""
    world.settings["RELAY_MODE"] = "poll"
    async with running(world.relay(prelude=BLIND, publish="chain")) as relay:
        await relay.wait_for_state("PUBLISHING")
        await with_parked(world, relay)
        await put_right(world)
        async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
            await connection.execute(
                "UPDATE outbox SET payload = to_json(repeat('x', 9000))"
                " WHERE aggregate_id = %s AND aggregate_version = 3",
                [BAD],
            )
        await streams.update_stream(world.nats_url, world.stream, max_msg_size=3_000)
        writing = asyncio.create_task(keep_writing(world))
        try:
            code, document = await parked(world, "retry", BAD, "--wait", "60")
        finally:
            writing.cancel()
        assert code != 0
        assert "refused again" in json.dumps(document)
    assert await versions(world) == [1, 2]


async def keep_writing(world: World) -> None:
    """Writes many events at a time, until cancelled."""
    while True:
        await world.insert(150)
