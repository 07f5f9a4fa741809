"""Measures our relay's drain rate: a backlog waits, the relay starts, and the stream's timestamps give the rate.

Rate = events / (time of the last event - time of the first), so start-up does not count. CPU time is counted between
two polls of the stream, after the first events and at the end, and divided by the events stored between them.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench.harness.rounds import Figures, NotMeasured
from bench.harness.stream import BARRIER, EVENTS, Stream
from bench.relay.backlog import Backlog
from bench.relay.run import running_relay

LOOK_SECONDS = 0.05
#: Seconds without a new message after which a drain has failed.
STALL_SECONDS = 30.0


async def drain(directory: Path, nats_url: str, backlog: Backlog, mode: str) -> Figures:
    """Drains the whole backlog once by a relay in `mode`; raises NotMeasured unless exactly its events are stored."""
    async with Stream(nats_url) as nats:
        held = await backlog.rewind(nats, mode)
        started = time.monotonic()
        async with running_relay(directory, backlog.url, nats_url, mode) as relay:
            # The relay begins with a barrier.
            while (first := await nats.state())["messages"] <= held + 1:
                relay.require_alive()
                if time.monotonic() > started + STALL_SECONDS:
                    raise NotMeasured(f"no event within {STALL_SECONDS:.0f} s: {await relay.page()}")
                await asyncio.sleep(LOOK_SECONDS)
            begun, cpu = time.monotonic(), relay.cpu_seconds
            last, moved = first, time.monotonic()
            while last["messages"] < held + 1 + backlog.events:
                await asyncio.sleep(LOOK_SECONDS)
                relay.require_alive()
                state = await nats.state()
                if state["messages"] > last["messages"]:
                    moved = time.monotonic()
                elif time.monotonic() > moved + STALL_SECONDS:
                    raise NotMeasured(f"stuck at {state['messages']} messages: {await relay.page()}")
                last = state
            if not await nats.wait_for_events(backlog.events, STALL_SECONDS):
                raise NotMeasured(f"{await nats.events()} of {backlog.events} events stored")
            spent, peak = relay.cpu_seconds - cpu, relay.peak_memory_mib
        if (stored := await nats.events()) != backlog.events:
            raise NotMeasured(f"{stored} events stored, {backlog.events} were there")
        head = await nats.message({"seq": 1, "next_by_subj": EVENTS})
        tail = await nats.message({"last_by_subj": EVENTS})
        state = await nats.state()
        left = await nats.message({"last_by_subj": BARRIER})
        mode_left = left.headers["Tandem-Cursor"].split(";")[1]
        await nats.drop()
    if mode_left != mode:
        raise NotMeasured(f"the relay ended in mode {mode_left}")
    return {
        "rate": backlog.events / (tail.at - head.at),
        "cpu_us_per_event": 1e6 * spent / (last["messages"] - first["messages"]),
        "peak_mib": peak,
        "first_event_s": begun - started,
        "bytes_per_message": state["bytes"] / state["messages"],
    }
