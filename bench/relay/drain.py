"""Measures the drain rate of our relay: how fast it publishes a backlog that exists when it starts.

The rate is the number of events divided by the time between the first and the last event in the stream, so start-up
does not count. CPU time is counted from a poll that sees the first events to a poll that sees all, and is divided by
the events stored between these two polls.
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
#: A drain fails if the stream gets no new message for this many seconds.
STALL_SECONDS = 30.0


async def drain(directory: Path, nats_url: str, backlog: Backlog, mode: str) -> Figures:
    """Drains the whole backlog once by a relay in `mode`, and returns the figures.

    Raises NotMeasured unless exactly the events of the backlog are stored and the relay stayed in `mode`.
    """
    async with Stream(nats_url) as nats:
        held = await backlog.rewind(nats, mode)
        started = time.monotonic()
        async with running_relay(directory, backlog.url, nats_url, mode) as relay:
            # The first message that a relay publishes is a barrier, so one more message is no event yet.
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
