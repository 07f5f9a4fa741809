"""The table of answers covers every refusal and error, agrees with the contract, and lets nothing of a driver out."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs
from tandem.orders import errors as client
from tandem.orders.errors import FieldViolation, from_status

from command_service.application import errors as application
from command_service.application.exporting import errors as exporting
from command_service.domain import errors as domain
from command_service.domain import rules
from command_service.handlers.status import ANSWERS, status_of
from service_runtime.edge.refusals import NotImplementedYet
from service_runtime.edge.request_validation import InvalidRequest, Violation

ORDER_ID = UUID(int=5)
EXAMPLES: list[Exception] = [
    InvalidRequest([Violation("lines[0].sku", "is required")]),
    NotImplementedYet("ShipOrder"),
    domain.RuleViolated(rules.ORDER_ID_TAKEN, "There already is one.", {"order_id": str(ORDER_ID)}),
    domain.VersionMismatch(ORDER_ID, 2, 3),
    domain.OrderNotFound(ORDER_ID),
    application.RequestIdReused(),
    application.OrderTooLarge(10, 9),
    application.Overloaded(),
    application.DependencyUnavailable("postgres"),
    application.ConnectionBroken("postgres"),
    application.Stopping(),
    application.Conflict(),
    application.TimedOut(),
    exporting.ExportInterrupted("postgres", "postgres cannot be reached"),
    exporting.ExportTooSlow(),
    domain.CustomerNotFound("C1"),
]


def concrete(kind: type[Exception]) -> Iterator[type[Exception]]:
    for child in kind.__subclasses__():
        yield child
        yield from concrete(child)


def test_every_refusal_and_error_has_an_answer_and_an_example() -> None:
    raised = {*concrete(domain.Refusal), *concrete(application.CommandError), InvalidRequest, NotImplementedYet}
    assert raised == set(ANSWERS)
    assert {type(example) for example in EXAMPLES} == set(ANSWERS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_callers_get_the_exception_of_the_reason(example: Exception) -> None:
    answer = ANSWERS[type(example)]
    back = from_status(status_of(example))
    assert type(back) is client.EXCEPTIONS[client.reason_text(answer.reason)]
    assert (back.code, back.retry_delay) == (answer.code, answer.retry)
    assert back.message


def unpacked(status: status_pb2.Status, kind: type) -> list[object]:
    found = []
    for detail in status.details:
        message = kind()
        if detail.Is(message.DESCRIPTOR):
            detail.Unpack(message)
            found.append(message)
    return found


def test_details_of_the_kinds_that_have_them() -> None:
    (failure,) = unpacked(status_of(EXAMPLES[2]), error_details_pb2.PreconditionFailure)
    assert isinstance(failure, error_details_pb2.PreconditionFailure)
    assert failure.violations[0].subject == "order-id-taken"
    back = from_status(status_of(EXAMPLES[2]))
    assert back.metadata == {"rule": "order-id-taken", "order_id": str(ORDER_ID)}
    back = from_status(status_of(EXAMPLES[0]))
    assert back.violations == (FieldViolation("lines[0].sku", "is required"),)
    back = from_status(status_of(EXAMPLES[3]))
    assert isinstance(back, client.VersionMismatch)
    assert back.current_version == 3
    assert from_status(status_of(EXAMPLES[8])).metadata == {"dependency": "postgres"}


def test_a_defect_is_found_by_its_incident_and_shows_nothing() -> None:
    message = "Failing row contains (Ann, Ring 1)"
    try:
        raise psycopg.errors.CheckViolation(message)
    except psycopg.Error as error:
        with capture_logs() as logs:
            status = status_of(error)
    back = from_status(status)
    assert (back.code, back.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    (entry,) = logs
    assert entry["incident"] == back.metadata["incident"]
    assert entry["sqlstate"] == "23514"
    assert "test_a_defect_is_found" in entry["stack"]
    assert "Ann" not in str(logs) + str(status)
    assert "row" not in back.message
