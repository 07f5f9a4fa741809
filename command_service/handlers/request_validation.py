"""Holds a request against the table of request rules and names everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from tandem.orders.errors import FieldViolation

from command_service.handlers.field_checks import Check
from command_service.handlers.request_rules import REQUEST_RULES

#: Pairs (path, sentence).
Problems = list[tuple[str, str]]
#: Names of fields and indices of elements that lead to a value.
Way = tuple[str | int, ...]
#: Room for violations in bytes: refusals travel in trailing metadata, of which clients take 8 KiB in base 64.
ROOM_FOR_VIOLATIONS = 4096


#: Items of all shipments of one imported order; the event of an order with more could not be published anyway.
MAX_SHIPPED_ITEMS = 10_000


class InvalidRequest(Exception):  # noqa: N818 - says what happened
    """The request is not as the rules say; `violations` name each wrong field that fits into an answer."""

    def __init__(self, violations: list[FieldViolation]) -> None:
        first, *others = violations
        rest = f", and {len(others)} more fields are wrong" if len(others) > 1 else ", and another field is wrong"
        super().__init__(f"{first.field} {first.description}{rest if others else ''}".lstrip())
        self.message = str(self)
        self.violations = _fitting(violations)


@dataclass
class _Node:
    """What is demanded of a field, of its elements when it is repeated, and of its own fields.

    `can_be_absent`: the wire tells an absent one from an empty one.
    """

    can_be_absent: bool = False
    check: Check | None = None
    element: _Node | None = None
    fields: dict[str, _Node] = field(default_factory=dict)


def _tree(request: Descriptor, rules: Mapping[str, Check]) -> _Node:
    root = _Node()
    for path, check in rules.items():
        node, message = root, request
        for part in path.split("."):
            described: Any = message.fields_by_name[part.removesuffix("[]")]
            node = node.fields.setdefault(described.name, _Node(described.has_presence))
            if part.endswith("[]"):
                node.element = node = node.element or _Node()
            message = described.message_type
        node.check = check
    return root


_TREES: dict[str, _Node] = {}


def validate(request: Message) -> None:
    """Raises InvalidRequest naming each wrong field by its path, for example `lines[3].unit_price.nanos`."""
    violations = [FieldViolation(path, problem) for path, problem in _problems(request)]
    if violations:
        raise InvalidRequest(violations)


def _problems(request: Any) -> Problems:
    found = list(_too_many_items(request))
    if not found:
        _in_message(request, _tree_of(request.DESCRIPTOR), (), found)
    return found or list(_currencies(request))


def _tree_of(request: Descriptor) -> _Node:
    tree = _TREES.get(request.full_name)
    if tree is None:
        tree = _TREES[request.full_name] = _tree(request, REQUEST_RULES[request.full_name])
    return tree


def _in_message(message: Any, node: _Node, way: Way, found: Problems) -> None:
    for name, child in node.fields.items():
        absent = child.can_be_absent and not message.HasField(name)
        _in_value(None if absent else getattr(message, name), child, (*way, name), found)


def _in_value(value: Any, node: _Node, way: Way, found: Problems) -> None:
    if node.check is not None:
        wrong = False
        for part, problem in node.check.problems(value):
            wrong = True
            found.append((_path(way, part), problem))
        if wrong:
            return
    if value is None:
        return
    if node.element is not None:
        for index, element in enumerate(value):
            _in_value(element, node.element, (*way, index), found)
    elif node.fields:
        _in_message(value, node, way, found)


def _path(way: Way, part: str) -> str:
    """`lines[3].unit_price.nanos`; put together only for what is wrong."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in (*way, part) if step != "")
    return path.removeprefix(".")


def _too_many_items(request: Any) -> Iterator[tuple[str, str]]:
    """Looked at first: each shipment and each item may be right, and all together too much work."""
    if "shipments" in request.DESCRIPTOR.fields_by_name:
        items = sum(len(shipment.items) for shipment in request.shipments)
        if items > MAX_SHIPPED_ITEMS:
            yield "shipments", f"have {items} items in all, at most {MAX_SHIPPED_ITEMS} are allowed"


def _currencies(request: Any) -> Iterator[tuple[str, str]]:
    """All amounts of an order are in the currency of its first line."""
    amounts = [(f"{path}.currency_code", money.currency_code) for path, money in _amounts(request)]
    for path, currency in amounts[1:]:
        if currency != amounts[0][1]:
            yield path, f"is {currency}, but {amounts[0][0]} is {amounts[0][1]}: an order has one currency"


def _amounts(request: Any) -> Iterator[tuple[str, Any]]:
    names = request.DESCRIPTOR.fields_by_name
    if "lines" not in names:
        return
    yield from ((f"lines[{index}].unit_price", line.unit_price) for index, line in enumerate(request.lines))
    yield from ((name, getattr(request, name)) for name in ("freight", "expected_total") if request.HasField(name))
    if "payments" in names:
        yield from ((f"payments[{index}].amount", payment.amount) for index, payment in enumerate(request.payments))


def _fitting(violations: list[FieldViolation]) -> list[FieldViolation]:
    room = ROOM_FOR_VIOLATIONS
    kept: list[FieldViolation] = []
    for violation in violations:
        room -= len(violation.field.encode()) + len(violation.description.encode()) + 8
        if room < 0:
            rest = len(violations) - len(kept)
            return [*kept, FieldViolation("", f"{rest} more wrong fields are left out here")]
        kept.append(violation)
    return kept
