"""`tandem events tail`: the last events, however much of other kinds lies between and after them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import nats
import pytest
import pytest_asyncio
from nats.js import JetStreamContext

from devstack.cli.stream import events_tail
from devstack.cli.stream.events_tail import sequence_of_last, tail_events
from devstack.cli.stream.silence import NobodyAnswers


@dataclass
class Stream:
    """A stream with events and barriers, as the relay has them."""

    url: str
    name: str
    jetstream: JetStreamContext
    events: int = 0

    @property
    def template(self) -> str:
        return f"{self.name}.{{partition}}.{{event_type}}"

    async def add(self, *, events: int = 0, barriers: int = 0) -> None:
        for _ in range(events):
            self.events += 1
            headers = {
                "ce-id": str(self.events), "ce-type": "ORDER_HELD", "ce-subject": f"order%20{self.events}",
                "ce-time": "2026-11-27T08:00:00Z", "Tandem-Version": "1",
            }  # fmt: skip
            body = b'{"headers":{"actor":"anonymous"}}'
            await self.jetstream.publish(f"{self.name}.7.ORDER_HELD", body, headers=headers)
        for _ in range(barriers):
            await self.jetstream.publish(f"{self.name}.barrier", b"")

    async def tail(
        self, last: int, *, follow: bool = False, until: int = 0, begun: asyncio.Event | None = None
    ) -> list[str]:
        """The orders shown, in turn; with `follow` until there are so many. The first one sets `begun`."""
        shown: list[str] = []
        stop = asyncio.Event()

        def row(time: str, position: int, event_type: str, order_id: str, version: int, actor: str) -> None:
            assert (time, event_type, version, actor) == ("2026-11-27T08:00:00Z", "ORDER_HELD", 1, "anonymous")
            assert position > 0
            shown.append(order_id)
            if begun is not None:
                begun.set()
            if len(shown) == until:
                stop.set()

        await tail_events(self.url, stop, row, last=last, follow=follow, stream=self.name, template=self.template)
        return shown


@pytest_asyncio.fixture(loop_scope="session")
async def stream(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stream]:
    monkeypatch.setenv("TANDEM_PATIENCE_SECONDS", "60")  # a loaded machine takes its time
    name = f"tail_{secrets.token_hex(5)}"
    client = await nats.connect(nats_url)
    jetstream = client.jetstream(timeout=60)
    await jetstream.add_stream(name=name, subjects=[f"{name}.>"])
    yield Stream(nats_url, name, jetstream)
    await jetstream.delete_stream(name)
    await client.close()


def orders(first: int, last: int) -> list[str]:
    return [f"order {number}" for number in range(first, last + 1)]


async def test_an_idle_system_shows_its_last_events(stream: Stream) -> None:
    assert await stream.tail(10) == []
    await stream.add(barriers=3)
    assert await stream.tail(10) == []
    await stream.add(events=3, barriers=700)
    await stream.add(events=2)
    await stream.add(events=1, barriers=400)
    for last in (1, 2, 3, 4, 5, 6):
        assert await stream.tail(last) == orders(7 - last, 6), last
    assert await stream.tail(7) == orders(1, 6)
    assert await stream.tail(1_000) == orders(1, 6)
    assert await stream.tail(0) == []
    assert (await stream.jetstream.stream_info(stream.name)).state.consumer_count <= 11, "look-ups leave none"


@pytest.mark.mutant
async def test_looking_only_so_far_back_would_be_noticed(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    async def so_far_back(jetstream: JetStreamContext, name: str, subjects: str, count: int) -> int:
        state = (await jetstream.stream_info(name)).state
        return max(1, state.last_seq - count * 20 - 200)

    await stream.add(events=3, barriers=300)
    monkeypatch.setattr(events_tail, "sequence_of_last", so_far_back)
    assert await stream.tail(2) != orders(2, 3)


async def test_following_goes_on_with_what_comes(stream: Stream) -> None:
    await stream.add(events=2, barriers=50)
    begun = asyncio.Event()
    following = asyncio.create_task(stream.tail(1, follow=True, until=4, begun=begun))
    await begun.wait()
    await stream.add(events=1, barriers=50)
    await stream.add(events=2, barriers=1)
    assert await asyncio.wait_for(following, 120) == orders(2, 5)


async def test_a_stream_that_is_not_there_is_named(stream: Stream) -> None:
    with pytest.raises(NobodyAnswers, match="no stream NONE"):
        await tail_events(stream.url, asyncio.Event(), print, last=1, follow=False, stream="NONE")


async def test_the_whole_stream_is_not_walked(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many questions as the length has binary digits, not so many as there are messages."""
    await stream.add(events=5, barriers=1_000)
    asked = 0
    count = events_tail._messages_from

    async def counted(jetstream: JetStreamContext, name: str, subjects: str, first: int) -> int:
        nonlocal asked
        asked += 1
        return await count(jetstream, name, subjects, first)

    monkeypatch.setattr(events_tail, "_messages_from", counted)
    assert await sequence_of_last(stream.jetstream, stream.name, f"{stream.name}.*.*", 5) == 1
    assert asked <= 11
