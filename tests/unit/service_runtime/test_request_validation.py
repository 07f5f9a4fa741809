"""The validator names what a plain walk over every line of the table names, in the order of the table."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from google.rpc.context.attribute_context_pb2 import AttributeContext
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_command_service_pb2, order_query_service_pb2

from command_service.handlers import request_rules as command_rules
from query_service.handlers.grpc import request_rules as query_rules
from service_runtime.edge import request_validation
from service_runtime.edge.field_checks import OPTIONAL, REQUIRED, Check, count, must, text
from service_runtime.edge.request_validation import InvalidRequest, Problem, Relation, Validator, When
from tests.support.commands.complete_requests import complete
from tests.support.random_messages import change_somewhere, random_message

Rules = Mapping[str, Check]
REQUESTS: dict[str, tuple[Any, Rules]] = {
    name: (getattr(module, name.rpartition(".")[2]), rules[name])
    for module, rules in (
        (order_command_service_pb2, command_rules.REQUEST_RULES),
        (order_query_service_pb2, query_rules.REQUEST_RULES),
    )
    for name in rules
}
EACH = 60


def plain(message: Any, rules: Rules, prefix: str = "", path: str = "") -> Iterator[Problem]:
    """What the rules under `prefix` find in a message at `path`: line by line, each field looked up by its name."""
    names = dict.fromkeys(
        key.removeprefix(prefix).split(".")[0].removesuffix("[]") for key in rules if under(key, prefix)
    )
    for name in names:
        absent = message.DESCRIPTOR.fields_by_name[name].has_presence and not message.HasField(name)
        yield from in_value(None if absent else getattr(message, name), rules, prefix + name, path + name)


def in_value(value: Any, rules: Rules, key: str, path: str) -> Iterator[Problem]:
    wrong = list(rules[key].problems(value)) if key in rules else []
    yield from ((f"{path}.{part}".rstrip("."), problem) for part, problem in wrong)
    if wrong or value is None:
        return
    if any(under(each, f"{key}[]") or each == f"{key}[]" for each in rules):
        for index, element in enumerate(value):
            yield from in_value(element, rules, f"{key}[]", f"{path}[{index}]")
    elif any(under(each, f"{key}.") for each in rules):
        yield from plain(value, rules, f"{key}.", f"{path}.")


def under(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and key != prefix


def named(validate: Callable[[Any], None], request: Any) -> list[Problem]:
    try:
        validate(request)
    except InvalidRequest as refusal:
        return [(violation.field, violation.description) for violation in refusal.violations]
    return []


def first_difference(seed: int) -> str | None:
    """The first request of many about which the validator and the plain walk do not agree."""
    source = random.Random(seed)
    for name, (request_class, rules) in REQUESTS.items():
        validate = Validator({name: rules}, {})
        for number in range(EACH):
            request = complete(request_class.DESCRIPTOR) if number % 3 else request_class()
            for _ in range(source.randrange(4) if request.DESCRIPTOR.fields else 0):
                change_somewhere(source, request)
            if number % 10 == 0:
                request = random_message(source, request_class.DESCRIPTOR)
            if named(validate, request) != fitting(list(plain(request, rules))):
                return f"{name}: {request}"
    return None


def fitting(problems: list[Problem]) -> list[Problem]:
    """Those that an answer has room for."""
    kept = request_validation._fitting([request_validation.Violation(*problem) for problem in problems])
    return [(violation.field, violation.description) for violation in kept]


def test_a_plain_walk_names_the_same() -> None:
    assert first_difference(1) is None


@pytest.mark.mutant
@pytest.mark.parametrize("guard", ["_in_order", "_in_message"])
def test_a_validator_that_leaves_something_out_is_noticed(monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    """Without the order of the table, and without a look at what is missing."""
    real_order, real_walk = request_validation._in_order, request_validation._in_message

    def in_any_order(found: Any) -> Iterator[Problem]:
        return iter(list(real_order(list(found)))[::-1])

    def given_only(message: Any, node: Any, way: Any, found: Any) -> None:
        node.demanding.clear()
        real_walk(message, node, way, found)

    monkeypatch.setattr(request_validation, guard, {"_in_order": in_any_order, "_in_message": given_only}[guard])
    assert first_difference(1) is not None


ADDRESS = PostalAddress.DESCRIPTOR.full_name


def always(*paths: str) -> Callable[[Any], Iterator[Problem]]:
    return lambda _: ((path, "is wrong") for path in paths)


def test_relations_are_looked_at_in_their_time() -> None:
    rules = {"region_code": must("be DE", lambda code: code == "DE")}
    early, beside = Relation(always("early"), When.BEFORE), Relation(always("beside"))
    late = Relation(always("late"), When.AFTER)
    wrong, right = PostalAddress(region_code="AT"), PostalAddress(region_code="DE")
    region = ("region_code", "must be DE")
    said = ("beside", "is wrong")
    assert named(Validator({ADDRESS: rules}, {ADDRESS: (late, early, beside)}), wrong) == [("early", "is wrong")]
    assert named(Validator({ADDRESS: rules}, {ADDRESS: (late, beside)}), wrong) == [region, said]
    assert named(Validator({ADDRESS: rules}, {ADDRESS: (late, beside)}), right) == [said]
    assert named(Validator({ADDRESS: rules}, {ADDRESS: (late,)}), wrong) == [region]
    assert named(Validator({ADDRESS: rules}, {ADDRESS: (late,)}), right) == [("late", "is wrong")]


def test_what_stands_in_an_absent_message_is_not_missed() -> None:
    rules = {"source": OPTIONAL, "source.ip": text(9, required=True), "request": REQUIRED}
    validate = Validator({AttributeContext.DESCRIPTOR.full_name: rules}, {})
    missing = ("request", "is required")
    assert named(validate, AttributeContext()) == [missing]
    assert named(validate, AttributeContext(source=AttributeContext.Peer())) == [("source.ip", "is required"), missing]


def test_elements_are_named_by_their_index() -> None:
    validate = Validator({ADDRESS: {"address_lines": count(0, 2), "address_lines[]": text(3)}}, {})
    assert named(validate, PostalAddress(address_lines=["abc", "abcd"])) == [
        ("address_lines[1]", "has 4 characters, at most 3 are allowed")
    ]
    assert named(validate, PostalAddress(address_lines=["abcd"] * 3)) == [
        ("address_lines", "has 3 elements, must have 0 to 2")
    ]


def test_a_request_without_rules_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        Validator({}, {})(PostalAddress())
