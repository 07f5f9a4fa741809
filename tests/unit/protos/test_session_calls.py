"""Which questions get the session's token."""

from datetime import timedelta

from tandem.orders.client import Session
from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.session_calls import AsyncSessionCalls, SessionCalls
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest, PlaceOrderResponse
from tandem.orders.v1.order_query_service_pb2 import (
    GetOrderRequest,
    GetOrderResponse,
    GetReadModelStatusRequest,
    OnTimeout,
    ReadOptions,
)

TOKEN = encode(ConsistencyToken(1, {"0190d8c4-0000-7000-8000-000000000000": 3}))


def test_before_the_first_write_nothing_is_asked_for() -> None:
    request = GetOrderRequest(order_id="x")
    assert SessionCalls(Session()).asking(request) is request


def test_what_was_written_is_asked_for_and_the_request_stays_as_it_was() -> None:
    session = Session()
    calls = AsyncSessionCalls(session, timedelta(seconds=3), OnTimeout.ON_TIMEOUT_RETURN_STALE)
    calls.answered(GetOrderResponse())
    calls.answered(PlaceOrderResponse())
    assert session.token == ""
    calls.answered(PlaceOrderResponse(consistency_token=TOKEN))
    request = GetOrderRequest(order_id="x")
    asked = calls.asking(request)
    assert (asked.order_id, asked.read_options.consistency_token) == ("x", TOKEN)
    assert asked.read_options.max_wait.seconds == 3
    assert asked.read_options.on_timeout == OnTimeout.ON_TIMEOUT_RETURN_STALE
    assert not request.HasField("read_options")


def test_own_options_stay_and_what_has_none_gets_none() -> None:
    session = Session()
    session.wrote(PlaceOrderResponse(consistency_token=TOKEN))
    for request in (
        GetOrderRequest(read_options=ReadOptions(consistency_token="other")),
        GetReadModelStatusRequest(),
        PlaceOrderRequest(),
    ):
        assert SessionCalls(session).asking(request) is request
