"""The client's imports over streams that break in every way: each result once, in order, no item swallowed."""

from __future__ import annotations

import asyncio
import itertools
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta

import grpc
import pytest
from tandem.orders import import_state, retry
from tandem.orders.errors import DeadlineExceeded, DependencyUnavailable, InvalidRequest, OrderError, error_status
from tandem.orders.import_state import Sending, Unanswered
from tandem.orders.order_import import OrderImport
from tandem.orders.order_import_async import AsyncOrderImport
from tandem.orders.retry import RetryPolicy
from tandem.orders.v1.error_reason_pb2 import ErrorReason
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from tests.support.commands.breaking_imports import (
    QUICK,
    Break,
    BreakingImports,
    Import,
    Outcome,
    requests_named,
    run,
    run_async,
)
from tests.support.waiting import eventually

BOTH = pytest.mark.parametrize("how", [run, run_async])
WINDOW = 4


class Clock:
    """Stands in for the module `time` where only its monotonic clock is read."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic


NAMES = [str(uuid.UUID(int=number)) for number in range(20)]
Code = grpc.StatusCode
STOPPING = error_status(
    Code.UNAVAILABLE,
    ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
    "stopping",
    retry_delay=timedelta(milliseconds=20),
)
BUSY = error_status(
    Code.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED, "busy", retry_delay=timedelta(milliseconds=20)
)
REFUSED = error_status(Code.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_INVALID_REQUEST, "no")
#: A result that stays out for so long is given up; far more than an answer takes, so that only silence is meant.
IMPATIENT = RetryPolicy(give_up_after=60.0, try_timeout=1.0, first_pause=0.0, longest_pause=0.0)
BREAKS: dict[str, list[Break]] = {
    "none": [],
    "before the first result": [Break()],
    "again and again before the first result": [Break()] * 5,
    "after each of the first results": [Break(1)] * 7,
    "here and there": [Break(3), Break(0), Break(5), Break(1)],
    "after the last result": [Break(len(NAMES))],
    "by a service that stops": [Break(2, STOPPING)],
    "by a service that is busy": [Break(0, BUSY), Break(0, BUSY)],
    "by a reset": [Break(2, Code.INTERNAL), Break(2, Code.CANCELLED), Break(2, Code.UNKNOWN)],
    "by a deadline": [Break(2, Code.DEADLINE_EXCEEDED), Break(2, Code.ABORTED)],
    "without a word": [Break(2, Code.OK)],
    "by silence": [Break(2, silent=True)],
    "by silence after the last result": [Break(len(NAMES), silent=True)],
}


async def imported(
    how: Import, service: BreakingImports, policy: RetryPolicy = QUICK, names: list[str] = NAMES
) -> Outcome:
    return await asyncio.to_thread(how, service.address, iter(requests_named(names)), policy, window=WINDOW)


async def check(how: Import, breaks: list[Break], policy: RetryPolicy = QUICK) -> None:
    async with BreakingImports(list(breaks)).serving() as service:
        outcome = await imported(how, service, policy)
        assert outcome.error is None
        assert outcome.answered == [item.request.request_id for item in outcome.items] == NAMES
        assert outcome.unanswered == ()
        assert list(service.imported) == NAMES
        assert service.ahead <= WINDOW
        assert service.breaks == [], "the case is not one: the import was through before"


@BOTH
@pytest.mark.parametrize("case", BREAKS)
async def test_every_item_has_its_result_once_and_in_order(how: Import, case: str) -> None:
    await check(how, BREAKS[case], IMPATIENT if any(each.silent for each in BREAKS[case]) else QUICK)


@BOTH
async def test_nothing_is_opened_for_nothing(how: Import) -> None:
    async with BreakingImports().serving() as service:
        assert (await imported(how, service, names=[])) == Outcome()
        assert service.streams == 0


@BOTH
@pytest.mark.parametrize(("end", "kind"), [(REFUSED, InvalidRequest), (Code.PERMISSION_DENIED, OrderError)])
async def test_a_refusal_ends_it_and_leaves_what_has_no_result(
    how: Import, end: grpc.StatusCode, kind: type[OrderError]
) -> None:
    # The asyncio client reports a fault of its own when something is being written at that moment; the service says it
    # again then.
    async with BreakingImports([Break(5, end)] + [Break(0, end)] * 1000).serving() as service:
        source = iter(requests_named(NAMES))
        first = await asyncio.to_thread(how, service.address, source, window=WINDOW)
        assert type(first.error) is kind
        left = [request.request_id for request in first.unanswered]
        assert 1 <= len(left) <= WINDOW
        assert first.answered + left == NAMES[: len(first.answered) + len(left)]
        service.breaks.clear()
        rest = await asyncio.to_thread(how, service.address, itertools.chain(first.unanswered, source), window=WINDOW)
        assert first.answered + rest.answered == NAMES


@BOTH
@pytest.mark.parametrize(
    ("each", "try_timeout", "kind"),
    [
        # The asyncio client reports a fault of its own when something is being written at that moment.
        (Break(unanswered=WINDOW), 30.0, DependencyUnavailable),
        (Break(silent=True), 0.2, DeadlineExceeded),
    ],
    ids=["unavailable", "silent"],
)
async def test_it_gives_up_when_failures_go_on(
    how: Import, each: Break, try_timeout: float, kind: type[OrderError]
) -> None:
    async with BreakingImports([each] * 1000).serving() as service:
        policy = RetryPolicy(give_up_after=0.5, try_timeout=try_timeout, first_pause=0.05, longest_pause=0.05)
        outcome = await imported(how, service, policy)
        assert type(outcome.error) is kind
        assert outcome.items == []
        left = [request.request_id for request in outcome.unanswered]
        assert 1 <= len(left) <= WINDOW
        assert left == NAMES[: len(left)]
        assert service.streams >= 2


@BOTH
async def test_an_outage_counts_from_its_begin(how: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures that results follow add up to nothing."""
    now = itertools.count(0.0, 1.0)  # each look at the clock is a second later
    monkeypatch.setattr(retry, "time", Clock(lambda: next(now)))
    async with BreakingImports([Break(1)] * (len(NAMES) - 1)).serving() as service:
        policy = RetryPolicy(give_up_after=10.0, first_pause=0.0, longest_pause=0.0)
        assert (await imported(how, service, policy)).answered == NAMES


@BOTH
async def test_what_the_items_raise_comes_after_the_results_of_those_before(how: Import) -> None:
    def broken() -> Iterator[ImportOrdersRequest]:
        yield from requests_named(NAMES[:7])
        raise LookupError("the file ends here")

    async with BreakingImports([Break(3)]).serving() as service:
        outcome = await asyncio.to_thread(how, service.address, broken(), window=WINDOW)
        assert isinstance(outcome.error, LookupError)
        assert outcome.answered == NAMES[:7]


@BOTH
async def test_items_that_come_slowly_outlive_streams(how: Import) -> None:
    """An item is being waited for while the stream breaks, with something unanswered and without."""
    for after in (1, 2):
        async with BreakingImports([Break(after)]).serving() as service:
            go_on = threading.Event()

            def slow(go_on: threading.Event = go_on) -> Iterator[ImportOrdersRequest]:
                yield from requests_named(NAMES[:2])
                assert go_on.wait(120)
                yield from requests_named(NAMES[2:])

            async def slow_async(items: Iterator[ImportOrdersRequest]) -> AsyncIterator[ImportOrdersRequest]:
                while (request := await asyncio.to_thread(next, items, None)) is not None:
                    yield request

            items = slow() if how is run else slow_async(slow())
            importing = asyncio.create_task(asyncio.to_thread(how, service.address, items, window=WINDOW))
            await eventually(lambda s=service: not s.breaks and len(s.imported) == 2, "the break")  # type: ignore[misc]
            go_on.set()
            assert (await importing).answered == NAMES


@BOTH
async def test_a_message_may_be_filled_again_and_ids_are_made(how: Import) -> None:
    def refilled() -> Iterator[ImportOrdersRequest]:
        request = ImportOrdersRequest()
        for number in range(9):
            request.order_number = str(number)
            yield request

    async with BreakingImports([Break(2), Break(2)]).serving() as service:
        outcome = await asyncio.to_thread(how, service.address, refilled(), window=WINDOW)
        assert [item.request.order_number for item in outcome.items] == [str(number) for number in range(9)]
        assert len({uuid.UUID(answered) for answered in outcome.answered}) == 9


@BOTH
async def test_the_same_item_twice_is_answered_twice(how: Import) -> None:
    twice = [NAMES[0], NAMES[0], NAMES[1], NAMES[0]]
    async with BreakingImports([Break(1)]).serving() as service:
        assert (await imported(how, service, names=twice)).answered == twice


@BOTH
async def test_answers_of_other_items_are_refused(how: Import) -> None:
    async with BreakingImports(rename=str.upper).serving() as service:
        assert len((await imported(how, service)).items) == len(NAMES), "ids count in either case"
    async with BreakingImports(rename=lambda _: NAMES[-1]).serving() as service:
        outcome = await imported(how, service)
        assert isinstance(outcome.error, OrderError)
        assert NAMES[0] in str(outcome.error)
        assert outcome.items == []


@BOTH
async def test_who_stops_early_leaves_nothing_running(how: Import) -> None:
    async with BreakingImports().serving() as service:
        taken: list[str] = []

        def watched() -> Iterator[ImportOrdersRequest]:
            for request in requests_named(NAMES):
                taken.append(request.request_id)
                yield request

        def stop_early() -> None:
            with grpc.insecure_channel(service.address) as channel:
                stub = OrderCommandServiceStub(channel)
                for item in OrderImport(stub.ImportOrders, watched(), window=WINDOW):
                    assert item.request.request_id == NAMES[0]
                    break
                # Still within the channel: it is the import that ends its stream and its threads.
                names = ("import-orders", "import-watch")
                for thread in threading.enumerate():
                    if thread.name in names:
                        thread.join(120)
                        assert not thread.is_alive()

        async def stop_early_async() -> None:
            async with grpc.aio.insecure_channel(service.address) as channel:
                importing = AsyncOrderImport(OrderCommandServiceStub(channel).ImportOrders, watched(), window=WINDOW)
                assert (await anext(importing)).request.request_id == NAMES[0]
                await importing.aclose()
                await eventually(lambda: len(asyncio.all_tasks()) == 1, "the import's tasks, and then gRPC's, end")

        if how is run:
            await asyncio.to_thread(stop_early)
        else:
            await asyncio.to_thread(asyncio.run, stop_early_async())
        await eventually(lambda: service.ended == 1, "the stream is given up")
        assert len(taken) <= 1 + WINDOW + 1


async def test_a_cancelled_task_ends_its_import() -> None:
    async with (
        BreakingImports([Break(2, silent=True)]).serving() as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        importing = AsyncOrderImport(OrderCommandServiceStub(channel).ImportOrders, requests_named(NAMES))

        async def all_of_it() -> None:
            async for item in importing:
                answered.append(item.result.request_id)  # noqa: PERF401 - seen while it goes on

        answered: list[str] = []
        waiting = asyncio.create_task(all_of_it())
        await eventually(lambda: len(answered) == 2 and len(service.imported) == len(NAMES), "everything is sent")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [request.request_id for request in importing.unanswered] == NAMES[2:]
        await eventually(lambda: service.ended == 1, "the stream is given up")


# Mutants


@pytest.mark.mutant
@BOTH
async def test_a_stream_that_does_not_send_again_is_noticed(how: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Sending.__init__

    def behind_what_was_sent(self: Sending, unanswered: Unanswered) -> None:
        original(self, unanswered)
        self.sent = self._unanswered.__dict__.setdefault("were_sent", 0)

    def counted(self: Sending, now: float) -> ImportOrdersRequest | None:
        request = following(self, now)
        self._unanswered.__dict__["were_sent"] = self.sent
        return request

    following = Sending.next
    monkeypatch.setattr(Sending, "__init__", behind_what_was_sent)
    monkeypatch.setattr(Sending, "next", counted)
    quickly = RetryPolicy(give_up_after=1.0, try_timeout=1.0, first_pause=0.0, longest_pause=0.0)
    with pytest.raises(AssertionError):
        await check(how, [Break(3)], quickly)


async def check_window(how: Import) -> None:
    async with BreakingImports().serving() as service:
        service.answering.clear()
        importing = asyncio.create_task(imported(how, service))
        before = -1
        while service.ahead < WINDOW or service.ahead != before:
            before = service.ahead
            await asyncio.sleep(0.1)
        service.answering.set()
        assert (await importing).answered == NAMES
        assert before == service.ahead == WINDOW


@BOTH
async def test_no_more_than_the_window_is_sent_ahead(how: Import) -> None:
    await check_window(how)


@pytest.mark.mutant
@BOTH
async def test_a_window_without_an_end_is_noticed(how: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unanswered, "has_room", True)
    with pytest.raises(AssertionError):
        await check_window(how)


@BOTH
async def test_large_items_fill_the_window_sooner(how: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_state, "WINDOW_BYTES", 2 * requests_named(NAMES)[0].ByteSize())
    async with BreakingImports().serving() as service:
        assert (await imported(how, service)).answered == NAMES
        assert service.ahead <= 2
