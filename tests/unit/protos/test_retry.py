"""The callers' helper: the same request again, by code, with the server's pause, until it is answered or hopeless."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from grpc_status import rpc_status
from tandem.orders import retry
from tandem.orders.client import COMMANDS, channel_options, service_config
from tandem.orders.errors import OrderError, Overloaded, RuleViolated, VersionMismatch, error_status
from tandem.orders.retry import RETRIED, RetryPolicy, Tries, repeat, repeat_async, worth_repeating
from tandem.orders.v1.error_reason_pb2 import ErrorReason
from tandem.orders.v1.order_command_service_pb2 import HoldOrderRequest, HoldOrderResponse

from tests.support.source_mutants import Mutant, noticed

BUSY = error_status(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorReason.ERROR_REASON_OVERLOADED,
    "busy",
    retry_delay=timedelta(seconds=1),
)
FORBIDDEN = error_status(
    grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_RULE_VIOLATED,
    "no",
    metadata={"rule": "hold-once"},
)
QUICK = RetryPolicy(first_pause=0.0)
Send = Callable[["Server", HoldOrderRequest, RetryPolicy], HoldOrderResponse]


class Failed(grpc.RpcError):
    """What a stub raises: a rich status, or a code alone, as when a connection breaks."""

    def __init__(self, status: status_pb2.Status | grpc.StatusCode) -> None:
        rich = rpc_status.to_status(status) if isinstance(status, status_pb2.Status) else None
        self._code = rich.code if rich else status
        self._details = rich.details if rich else "broken"
        self._trailing = rich.trailing_metadata if rich else ()

    def code(self) -> Any:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailing


class Server:
    """Fails as told, then answers; remembers what it was sent."""

    def __init__(self, failures: Iterable[status_pb2.Status | grpc.StatusCode]) -> None:
        self._failures = iter(failures)
        self.ids: list[str] = []
        self.timeouts: list[float | None] = []

    def __call__(self, request: HoldOrderRequest, *, timeout: float | None = None) -> HoldOrderResponse:
        self.ids.append(request.request_id)
        self.timeouts.append(timeout)
        for failure in self._failures:
            raise Failed(failure)
        return HoldOrderResponse(version=2)

    async def later(self, request: HoldOrderRequest, *, timeout: float | None = None) -> HoldOrderResponse:
        return self(request, timeout=timeout)


def send(server: Server, request: HoldOrderRequest, policy: RetryPolicy) -> HoldOrderResponse:
    return repeat(server, request, policy)


def send_async(server: Server, request: HoldOrderRequest, policy: RetryPolicy) -> HoldOrderResponse:
    async def run() -> HoldOrderResponse:
        return await repeat_async(server.later, request, policy)

    with asyncio.Runner() as runner:
        return runner.run(run())


BOTH = pytest.mark.parametrize("how", [send, send_async])


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is made, the clock moves instead."""
    asked: list[float] = []
    now = itertools.count(0.0, 0.001)

    async def sleep(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr("tandem.orders.retry.time.sleep", asked.append)
    monkeypatch.setattr("tandem.orders.retry.asyncio.sleep", sleep)
    monkeypatch.setattr("tandem.orders.retry.time.monotonic", lambda: next(now) + sum(asked))
    return asked


@BOTH
@pytest.mark.parametrize("code", sorted(RETRIED, key=str))
def test_the_same_request_goes_again_until_it_is_answered(
    how: Send, code: grpc.StatusCode, pauses: list[float]
) -> None:
    server = Server([code] * 5)
    request = HoldOrderRequest(request_id=str(uuid.uuid4()))
    assert how(server, request, RetryPolicy()).version == 2
    assert server.ids == [request.request_id] * 6
    assert len(pauses) == 5


@BOTH
def test_a_request_id_that_is_missing_is_made_once(how: Send, pauses: list[float]) -> None:
    server, request = Server([grpc.StatusCode.UNAVAILABLE] * 2), HoldOrderRequest()
    how(server, request, QUICK)
    assert request.request_id
    assert server.ids == [str(uuid.UUID(request.request_id))] * 3


@BOTH
@pytest.mark.parametrize("code", sorted(set(grpc.StatusCode) - RETRIED - {grpc.StatusCode.OK}, key=str))
def test_an_answer_is_an_answer(how: Send, code: grpc.StatusCode, pauses: list[float]) -> None:
    server = Server([code])
    with pytest.raises(OrderError) as raised:
        how(server, HoldOrderRequest(), QUICK)
    assert (raised.value.code, len(server.ids), pauses) == (code, 1, [])


@BOTH
def test_a_refusal_comes_as_the_exception_of_its_reason(how: Send) -> None:
    with pytest.raises(RuleViolated) as raised:
        how(Server([FORBIDDEN]), HoldOrderRequest(), QUICK)
    assert raised.value.rule == "hold-once"


@BOTH
def test_nobody_comes_back_sooner_than_the_server_asked(how: Send, pauses: list[float]) -> None:
    how(Server([BUSY] * 3), HoldOrderRequest(), RetryPolicy(first_pause=0.5, longest_pause=0.5))
    assert all(1.0 <= pause <= 1.5 for pause in pauses)
    assert len(set(pauses)) == 3, "callers refused together must not come back together"


@BOTH
def test_it_gives_up_before_the_time_is_over(how: Send, pauses: list[float]) -> None:
    server = Server(itertools.repeat(BUSY))
    with pytest.raises(Overloaded):
        how(server, HoldOrderRequest(), RetryPolicy(give_up_after=5.0))
    assert 2 <= len(server.ids) <= 6
    assert sum(pauses) < 5
    assert all(timeout is not None and timeout <= 5 for timeout in server.timeouts)


def test_another_version_is_not_asked_for_again() -> None:
    assert not worth_repeating(VersionMismatch(grpc.StatusCode.ABORTED, "is at 3"))
    assert worth_repeating(OrderError(grpc.StatusCode.ABORTED, "others got in the way"))


def test_pauses_double_up_to_the_longest() -> None:
    policy, error = RetryPolicy(first_pause=0.1, longest_pause=1.0), OrderError(grpc.StatusCode.UNAVAILABLE, "")
    assert [policy.pause(tries, error, 1.0) for tries in (1, 2, 3, 4, 5, 9, 99)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert policy.pause(3, error, 0.0) == 0.0


def test_the_service_config_retries_and_balances_and_sets_no_deadline() -> None:
    config = service_config()
    assert '"round_robin"' in config
    assert '"retryableStatusCodes": ["UNAVAILABLE"]' in config
    assert '"timeout"' not in config, "it fires too early in Python"
    assert "healthCheckConfig" not in config
    assert f'"healthCheckConfig": {{"serviceName": "{COMMANDS}"}}' in service_config(COMMANDS)
    assert dict(channel_options(COMMANDS))["grpc.service_config"] == service_config(COMMANDS)


def check_unavailable_is_tried_again(how: Send, pauses: list[float]) -> None:
    test_the_same_request_goes_again_until_it_is_answered(how, grpc.StatusCode.UNAVAILABLE, pauses)


def check_an_internal_error_is_an_answer(how: Send, pauses: list[float]) -> None:
    test_an_answer_is_an_answer(how, grpc.StatusCode.INTERNAL, pauses)


def check_versions(_: Send, __: list[float]) -> None:
    test_another_version_is_not_asked_for_again()


#: What callers would do → the mutant, and the test that must notice it.
MISTAKES: dict[str, tuple[Sequence[Mutant], Callable[[Send, list[float]], None]]] = {
    "send without an id": (
        [Mutant(retry._identify, "if not request.request_id:", "if False:")],
        test_a_request_id_that_is_missing_is_made_once,
    ),
    "send an id of its own each time": (
        [
            Mutant(repeat, "return call(", "request.request_id = str(uuid.uuid4()); return call("),
            Mutant(repeat_async, "return await call(", "request.request_id = str(uuid.uuid4()); return await call("),
        ],
        check_unavailable_is_tried_again,
    ),
    "give up at once": (
        [Mutant(worth_repeating, "error.code in RETRIED", "False")],
        check_unavailable_is_tried_again,
    ),
    "take no answer for one": (
        [Mutant(worth_repeating, "error.code in RETRIED", "True")],
        check_an_internal_error_is_an_answer,
    ),
    "insist on a version": (
        [Mutant(worth_repeating, "(VersionMismatch, MessageTooLarge)", "MessageTooLarge")],
        check_versions,
    ),
    "come back at will": (
        [Mutant(RetryPolicy.pause, "return asked +", "return")],
        test_nobody_comes_back_sooner_than_the_server_asked,
    ),
    "come back all together": (
        [Mutant(Tries.pause_after, "random.random()", "1.0")],
        test_nobody_comes_back_sooner_than_the_server_asked,
    ),
    "never give up": (
        [Mutant(Tries.__init__, "policy.give_up_after", "20 * policy.give_up_after")],
        test_it_gives_up_before_the_time_is_over,
    ),
    "wait for one answer for ever": (
        [Mutant(Tries.timeout, "min(self._policy.try_timeout, max(self._ends - time.monotonic(), 0.001))", "3600.0")],
        test_it_gives_up_before_the_time_is_over,
    ),
}


@pytest.mark.mutant
@BOTH
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_caller_that_goes_wrong_is_noticed(how: Send, mistake: str, pauses: list[float]) -> None:
    mutants, check = MISTAKES[mistake]
    with noticed(*mutants, or_raises=(OrderError,)):
        check(how, pauses)
