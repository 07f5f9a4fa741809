"""Requests that are added while one is under way share the next one, and each returns only when it was sent."""

from __future__ import annotations

import asyncio

from bench.end_to_end.shared_requests import SharedRequests


async def test_what_comes_meanwhile_shares_the_next_request() -> None:
    sent: list[list[bytes]] = []
    answers: list[asyncio.Future[None]] = []

    async def send(texts: list[bytes]) -> None:
        sent.append(texts)
        answers.append(asyncio.get_running_loop().create_future())
        await answers[-1]

    async def turn() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    shared = SharedRequests(send)
    first, *others = [asyncio.create_task(shared.add(text)) for text in (b"1", b"2", b"3")]
    await turn()
    assert sent == [[b"1"]]
    answers[0].set_result(None)
    await turn()
    late = asyncio.create_task(shared.add(b"4"))
    await turn()
    assert first.done()
    assert not any(task.done() for task in (*others, late))
    assert sent[1:] == [[b"2", b"3"]]
    answers[1].set_result(None)
    await turn()
    assert all(task.done() for task in others)
    assert not late.done()
    assert sent[2:] == [[b"4"]]
    answers[2].set_result(None)
    await late
