"""The tables at the query service's edges are complete: request rules, error answers, document fields and mappings."""

import inspect
from dataclasses import fields
from typing import Any, get_type_hints

import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tandem.orders.consistency_token import MAX_VERSIONS, ConsistencyToken, MalformedToken, encode
from tandem.orders.errors import EXCEPTIONS, from_status
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.ports import errors
from query_service.handlers.grpc import status
from query_service.handlers.grpc.answering import consistency, page_size
from query_service.handlers.grpc.order_lists import OrderLists
from query_service.handlers.grpc.order_queries import SERVICE, OrderQueries
from query_service.handlers.grpc.order_watching import OrderWatching
from query_service.handlers.grpc.read_model_queries import ReadModelQueries
from query_service.handlers.grpc.request_rules import MAX_TOKEN_LENGTH, REQUEST_RULES, validate
from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.order_document import EventDocument, OrderDocument
from query_service.storage.physical.generations import mappings
from service_runtime.edge.refusals import NotImplementedYet, OutOfTime
from service_runtime.edge.request_validation import InvalidRequest, Violation

UUID = "018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b"
WELL_KNOWN = {"google.protobuf.Timestamp", "google.protobuf.Duration", "google.type.Money"}


def paths(descriptor: Descriptor, prefix: str = "") -> set[str]:
    """Every field that a request may carry; a message of ours stands for its fields."""
    found: set[str] = set()
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.full_name not in WELL_KNOWN:
            found |= paths(field.message_type, f"{prefix}{field.name}.")
        else:
            found.add(f"{prefix}{field.name}")
    return found


def served() -> set[str]:
    served: set[str] = set()
    for queries in (OrderQueries, OrderLists, ReadModelQueries):
        of_no_store: Any = (None,) * len(fields(queries))
        served |= set(queries(*of_no_store).questions())
    nothing: Any = None
    return served | set(OrderWatching(nothing).questions())


def test_all_is_served_but_what_is_not_yet() -> None:
    assert set(SERVICE.methods_by_name) - served() == set()


def test_every_field_of_every_served_request_has_its_rule() -> None:
    requests = {SERVICE.methods_by_name[name].input_type for name in served()}
    assert {request.full_name for request in requests} == set(REQUEST_RULES)
    for request in requests:
        assert set(REQUEST_RULES[request.full_name]) == paths(request)


def test_a_message_without_content_is_as_good_as_none() -> None:
    """Rules look at what is given; so none may take offence at a field only because the message around it is there."""
    for full_name in REQUEST_RULES:
        request = getattr(contract, full_name.rpartition(".")[2])()
        needed = _wrong(request)
        for field in request.DESCRIPTOR.fields:
            if field.message_type is not None and field.message_type.full_name not in WELL_KNOWN:
                getattr(request, field.name).SetInParent()
                assert _wrong(request) == needed
                for path, check in REQUEST_RULES[full_name].items():
                    inner = path.removeprefix(f"{field.name}.")
                    if inner != path and not getattr(request, field.name).DESCRIPTOR.fields_by_name[inner].has_presence:
                        assert not list(check.problems(getattr(getattr(request, field.name), inner))), path


def _wrong(request: Any) -> list[str]:
    try:
        validate(request)
    except InvalidRequest as refusal:
        return [violation.field for violation in refusal.violations]
    return []


@pytest.mark.parametrize(("asked", "got"), [(0, 50), (1, 1), (200, 200), (201, 200), (2**31 - 1, 200)])
def test_a_page_larger_than_the_maximum_is_the_maximum(asked: int, got: int) -> None:
    validate(contract.SearchOrdersRequest(page_size=asked))
    validate(contract.GetOrderHistoryRequest(order_id=UUID, page_size=asked))
    assert page_size(asked) == got


@pytest.mark.parametrize(
    "order_id", ["", "7", UUID[:-1], UUID + "0", f"{{{UUID}}}", UUID.replace("-", ""), "g" + UUID[1:]]
)
def test_an_order_id_is_a_uuid(order_id: str) -> None:
    with pytest.raises(InvalidRequest, match="order_id"):
        validate(contract.GetOrderRequest(order_id=order_id))


@pytest.mark.parametrize("order_id", [UUID, UUID.upper()])
def test_a_plain_request_is_fine(order_id: str) -> None:
    validate(contract.GetOrderRequest(order_id=order_id))


@pytest.mark.parametrize(
    ("seconds", "nanos", "right"),
    [(0, 0, True), (5, 0, True), (0, 1, True), (5, 1, False), (-1, 0, False), (0, -1, False), (1, 10**9, False)],
)
def test_a_wait_is_within_its_bounds(seconds: int, nanos: int, right: bool) -> None:
    options = contract.ReadOptions(max_wait=Duration(seconds=seconds, nanos=nanos))
    _check(contract.GetOrderRequest(order_id=UUID, read_options=options), "read_options.max_wait", right)


@pytest.mark.parametrize(
    ("seconds", "nanos", "right"),
    [
        (0, 0, True),
        (-62_135_596_800, 0, True),
        (-62_135_596_801, 0, False),
        (253_402_300_800, 0, False),
        (0, 10**9, False),
    ],
)
def test_a_read_time_is_within_its_bounds(seconds: int, nanos: int, right: bool) -> None:
    request = contract.GetOrderRequest(order_id=UUID, read_time=Timestamp(seconds=seconds, nanos=nanos))
    _check(request, "read_time", right)


@pytest.mark.parametrize(("version", "right"), [(1, True), (2**40, True), (0, False), (-1, False)])
def test_a_version_is_one_or_more(version: int, right: bool) -> None:
    _check(contract.GetOrderRequest(order_id=UUID, version=version), "version", right)


def _check(request: contract.GetOrderRequest, path: str, right: bool) -> None:
    if right:
        validate(request)
        return
    with pytest.raises(InvalidRequest) as refusal:
        validate(request)
    assert [violation.field for violation in refusal.value.violations] == [path]


def test_the_longest_token_is_within_the_bound() -> None:
    token = encode(
        ConsistencyToken(8191, {f"018f6b1e-7c3a-7d6e-9b2a-{n:012x}": 2**40 - 1 for n in range(MAX_VERSIONS)})
    )
    assert len(token) < MAX_TOKEN_LENGTH / 2


# -- answers to errors -------------------------------------------------------------------------------------------------

EXAMPLES: dict[type[Exception], Exception] = {
    InvalidRequest: InvalidRequest([Violation("order_id", "must be a UUID")]),
    MalformedToken: MalformedToken("damaged"),
    NotImplementedYet: NotImplementedYet("WatchOrders"),
    status.Overloaded: status.Overloaded(),
    OutOfTime: OutOfTime(),
    errors.OrderUnknown: errors.OrderUnknown(UUID),
    errors.VersionUnknown: errors.VersionUnknown(UUID, "version 3"),
    errors.CustomerUnknown: errors.CustomerUnknown("KOENE"),
    errors.ResumeTokenMalformed: errors.ResumeTokenMalformed("x"),
    errors.ResumeTokenExpired: errors.ResumeTokenExpired("x"),
    errors.TooManyWatchers: errors.TooManyWatchers(2),
    errors.WatcherTooSlow: errors.WatcherTooSlow("w1.x"),
    errors.PageTokenMalformed: errors.PageTokenMalformed("damaged"),
    errors.Lagging: errors.Lagging(UUID, 3, 2),
    errors.Parked: errors.Parked(UUID, 3),
    errors.TokenOfOtherSource: errors.TokenOfOtherSource(1, 2),
    errors.SumTooLarge: errors.SumTooLarge("total", ("DE",), "JPY"),
    errors.RebuildNeeded: errors.RebuildNeeded("sales.place_time"),
    errors.DependencyDown: errors.DependencyDown("elasticsearch", "GET http://10.0.0.7:9200 refused"),
    errors.ReadStoreNotReady: errors.ReadStoreNotReady("alias orders at http://10.0.0.7:9200"),
}


def test_every_refusal_of_the_application_has_an_answer() -> None:
    raised = {
        member
        for _, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, Exception) and not member.__subclasses__()
    }
    assert raised <= set(status.ANSWERS)
    assert set(EXAMPLES) == set(status.ANSWERS)


@pytest.mark.parametrize("kind", list(EXAMPLES), ids=lambda kind: kind.__name__)
def test_an_answer_comes_back_as_the_clients_exception(kind: type[Exception]) -> None:
    answer = from_status(status.status_of(EXAMPLES[kind]))
    assert type(answer) is EXCEPTIONS[answer.reason]
    assert answer.code is status.ANSWERS[kind].code
    assert answer.message
    assert "10.0.0.7" not in answer.message


def test_what_stands_in_no_table_becomes_an_incident() -> None:
    secret = ProjectionError(Unprojectable.MALFORMED, "philip@koene.example")
    answer = from_status(status.status_of(secret))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert answer.metadata["incident"] in answer.message
    assert "philip" not in answer.message


# -- what the caller wants ---------------------------------------------------------------------------------------------


def test_the_wait_fits_into_the_time_that_remains() -> None:
    assert consistency(contract.ReadOptions(), 30.0).max_wait == 2.0
    assert consistency(contract.ReadOptions(max_wait=Duration(seconds=4)), 30.0).max_wait == 4.0
    assert consistency(contract.ReadOptions(max_wait=Duration(seconds=4)), 1.0).max_wait == pytest.approx(0.8)
    assert consistency(contract.ReadOptions(max_wait=Duration()), 1.0).max_wait == 0


# -- documents and mappings --------------------------------------------------------------------------------------------


def fields_of(mapping: dict[str, Any]) -> dict[str, Any]:
    return {name: fields_of(field["properties"]) if "properties" in field else None for name, field in mapping.items()}


def fields_of_type(document: Any) -> dict[str, Any]:
    found = {}
    for name, hint in get_type_hints(document).items():
        inner = [part for part in (hint, *getattr(hint, "__args__", ())) if hasattr(part, "__total__")]
        found[name] = fields_of_type(inner[0]) if inner else None
    return found


@pytest.mark.parametrize(("mapping", "document"), [(mappings.ORDERS, OrderDocument), (mappings.ENTRIES, EventDocument)])
def test_the_mapping_names_exactly_the_fields_of_the_document(mapping: dict[str, Any], document: Any) -> None:
    assert mapping["dynamic"] == "strict"
    assert fields_of(mapping["properties"]) == fields_of_type(document)


def test_every_index_refreshes_by_itself() -> None:
    assert mappings.settings("1s")["index"]["refresh_interval"] == "1s"
