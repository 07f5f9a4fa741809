"""What the edge does with each call, shown with the methods of a contract that has nothing to do with orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2 import DESCRIPTOR, HealthCheckRequest, HealthCheckResponse
from structlog.testing import capture_logs

from service_runtime.edge import service_methods
from service_runtime.edge.field_checks import must
from service_runtime.edge.refusals import Answer, NotImplementedYet, OutOfTime, Refusals
from service_runtime.edge.request_validation import InvalidRequest, Validator
from service_runtime.edge.service_methods import Behaviour, Call, Terms

Code = grpc.StatusCode
HEALTH: Any = DESCRIPTOR.services_by_name["Health"]
KNOWN = must("be a or b", lambda name: name in {"a", "b"})
VALIDATE = Validator({HealthCheckRequest.DESCRIPTOR.full_name: {"service": KNOWN}}, {})


class Asleep(Exception):  # noqa: N818 - says what happened
    """Something that a caller has waited for."""


ANSWERS: Mapping[type[Exception], Answer] = {
    InvalidRequest: Answer(Code.INVALID_ARGUMENT, "INVALID"),
    NotImplementedYet: Answer(Code.UNIMPLEMENTED, "LATER"),
    OutOfTime: Answer(Code.DEADLINE_EXCEEDED, "LATE"),
    Asleep: Answer(Code.UNAVAILABLE, "ASLEEP", lambda _: {"who": "a"}, timedelta(seconds=2), lambda _: "zzz", True),
}


def pack(code: grpc.StatusCode, reason: str, message: str, **details: Any) -> Status:
    """A status that shows what it was made of."""
    return Status(code=code.value[0], message=f"{reason}: {message} {sorted(details['metadata'])}")


class Edge:
    """A served table of methods, what was counted, and what was refused."""

    def __init__(self, deadline_cap: float = 30.0) -> None:
        self.counted: list[tuple[str, str]] = []
        self.refused: list[Exception] = []
        self.terms = Terms(
            VALIDATE,
            Refusals(ANSWERS, pack, "INTERNAL", lambda _: {"sqlstate": "23514"}),
            lambda method, code, seconds: self.counted.append((method, code)),
            deadline_cap,
            on_refusal=self.refused.append,
        )

    @asynccontextmanager
    async def serving(self, **served: Behaviour) -> AsyncIterator[grpc.aio.Channel]:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((service_methods.service_methods(HEALTH, served, self.terms),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield channel
        finally:
            await server.stop(None)


async def ask(channel: grpc.aio.Channel, sent: bytes) -> bytes:
    check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
    return bytes(await check(sent, timeout=30))


async def refusal(channel: grpc.aio.Channel, sent: bytes) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(channel, sent)
    return refused.value


def request(service: str = "a") -> bytes:
    return HealthCheckRequest(service=service).SerializeToString()


@pytest.mark.parametrize("encoded", [True, False])
async def test_a_message_and_its_bytes_are_the_same_answer(encoded: bool) -> None:
    response = HealthCheckResponse(status=HealthCheckResponse.SERVING)

    async def check(asked: HealthCheckRequest, call: Call) -> HealthCheckResponse | bytes:
        assert asked.service == "a"
        assert 0 < call.seconds <= 30
        return response.SerializeToString() if encoded else response

    edge = Edge()
    async with edge.serving(Check=check) as channel:
        assert await ask(channel, request()) == response.SerializeToString()
    assert (edge.counted, edge.refused) == ([("Check", "OK")], [])


async def never(_: Any, __: Call) -> bytes:
    raise AssertionError("a wrong request reaches nobody")


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (request("c"), "INVALID: service must be a or b []"),
        (b"\xff", "INVALID: the bytes are no HealthCheckRequest []"),
    ],
)
async def test_a_wrong_request_reaches_no_use_case(sent: bytes, says: str) -> None:
    edge = Edge()
    async with edge.serving(Check=never) as channel:
        refused = await refusal(channel, sent)
    assert (refused.code(), refused.details()) == (Code.INVALID_ARGUMENT, says)
    assert edge.counted == [("Check", "INVALID_ARGUMENT")]
    assert [type(error) for error in edge.refused] == [InvalidRequest]


@pytest.mark.mutant
async def test_a_request_that_nobody_validates_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Validator, "__call__", lambda *_: None)
    with pytest.raises(AssertionError):
        await test_a_wrong_request_reaches_no_use_case(request("c"), "INVALID: service must be a or b []")


async def test_an_answer_of_the_table_has_its_details_and_keeps_a_client_from_trying_again() -> None:
    async def check(_: Any, __: Call) -> bytes:
        raise Asleep("somebody at http://10.0.0.7")

    edge = Edge()
    async with edge.serving(Check=check) as channel:
        refused = await refusal(channel, request())
    assert (refused.code(), refused.details()) == (Code.UNAVAILABLE, "ASLEEP: zzz ['who']")
    assert ("grpc-retry-pushback-ms", "-1") in tuple(refused.trailing_metadata())


async def test_an_unknown_error_is_an_incident_without_its_words() -> None:
    row = "Failing row contains (Ann, Ring 1)"

    async def check(_: Any, __: Call) -> bytes:
        raise ValueError(row)

    edge = Edge()
    with capture_logs() as logs:
        async with edge.serving(Check=check) as channel:
            refused = await refusal(channel, request())
    (entry,) = logs
    assert refused.code() is Code.INTERNAL
    assert entry["incident"] in str(refused.details())
    assert (entry["error"], entry["sqlstate"]) == ("ValueError", "23514")
    assert "Ann" not in f"{refused.details()} {logs}"


async def test_an_answer_that_takes_too_long_is_late() -> None:
    async def check(_: Any, __: Call) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    edge = Edge(deadline_cap=0.01)
    async with edge.serving(Check=check) as channel:
        assert (await refusal(channel, request())).code() is Code.DEADLINE_EXCEEDED


async def test_what_is_not_served_is_said_to_come_later_and_what_is_unknown_is_a_fault() -> None:
    edge = Edge()
    async with edge.serving() as channel:
        watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await watch(request("c")).read()
        assert refused.value.code() is Code.UNIMPLEMENTED
        assert (await refusal(channel, request("c"))).code() is Code.UNIMPLEMENTED
    with pytest.raises(KeyError, match="no methods"):
        service_methods.service_methods(HEALTH, {"Chekc": never}, edge.terms)
