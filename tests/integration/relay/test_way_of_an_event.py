"""The way of an event, as docs/architecture.md lists it: the functions that one row of the outbox goes through."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from relay.bootstrap import Relay
from tests.support.relay.world import World
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
GENERATED = "relay/wal/tuple_program:write_reader"


def function_of(code: CodeType) -> str | None:
    """`module:function` of the relay's own; a function that was generated counts as the one that has made it."""
    if code.co_filename == "<string>" and code.co_name == "read":
        return GENERATED
    path = Path(code.co_filename)
    if not path.is_relative_to(ROOT / "relay") or "<" in code.co_name:
        return None
    return f"{path.relative_to(ROOT).with_suffix('').as_posix()}:{code.co_qualname}"


def listed() -> list[str]:
    """The functions that the page lists."""
    _, _, section = (ROOT / "docs/architecture.md").read_text().partition("\n## The way of an event\n")
    return re.findall(r"^\d+\. `([^`]+)`", section.partition("\n## ")[0], re.MULTILINE)


async def entered_for_one_row(world: World) -> set[str]:
    """What a relay that reads the log enters from an insert until Postgres has been told that the row is stored."""
    relay = Relay(world.configured(mode="wal"))
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (name := function_of(frame.f_code)) is not None:
            entered.add(name)

    def stored(events: int) -> Callable[[], bool]:
        return lambda: (
            relay.status.mode.name == "wal"
            and relay.metrics.registry.get_sample_value("relay_published_total", {"outcome": "stored"}) == events
        )

    stop = asyncio.Event()
    running = asyncio.create_task(relay._loop.run(stop))
    try:
        await eventually(lambda: relay.status.mode.name == "wal", "the log is read", 120.0)
        await world.insert(1)
        await eventually(stored(1), "a first row is stored, and its table known", 120.0)
        sys.setprofile(note)
        await world.insert(1)
        await eventually(stored(2), "the row is stored", 120.0)
        await eventually(lambda: set(listed()) <= entered, "Postgres is told", 30.0)
    except AssertionError:
        assert set(listed()) - entered == set()
        raise
    finally:
        sys.setprofile(None)
        stop.set()
        await running
    return entered


async def test_a_relay_enters_each_function_that_the_page_lists(world: World) -> None:
    entered = await entered_for_one_row(world)
    assert set(listed()) <= entered
    assert "relay/sources/poll:PollSource.read" not in entered, "a way that is not listed would not be told apart"
