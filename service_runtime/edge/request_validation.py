"""Checks a request against its service's table of rules, and reports everything that is wrong at once.

A table maps request type → field path → check. In a path, dots separate fields, and `[]` stands for each element of a
repeated field. Fields of an absent message are not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from google.protobuf.message import Message

from service_runtime.edge.field_checks import Check

#: Pairs (path, sentence).
Problem = tuple[str, str]
Rules = Mapping[str, Check]
#: How many bytes of violations a refusal may have. It is sent in trailing metadata, of which clients accept 8 KiB, in
#: base 64.
ROOM_FOR_VIOLATIONS = 4096


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field: its path in the request (`lines[3].unit_price.nanos`) and what is wrong."""

    field: str
    description: str


class InvalidRequest(Exception):  # noqa: N818 - says what happened
    """The request breaks its rules. `violations` are the wrong fields, as many as fit into an answer."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        first, *others = violations
        rest = f", and {len(others)} more fields are wrong" if len(others) > 1 else ", and another field is wrong"
        super().__init__(f"{first.field} {first.description}{rest if others else ''}".lstrip())
        self.violations = _fitting(violations)


class When(Enum):
    """When a relation between fields is checked, relative to the checks of the single fields."""

    BEFORE = "before the fields, which are not looked at when it is wrong"
    BESIDE = "whatever the fields are like"
    AFTER = "when every field alone is right"


@dataclass(frozen=True, slots=True)
class Relation:
    """A rule about several fields of a request. `problems` gets the request and returns what is wrong."""

    problems: Callable[[Any], Iterable[Problem]]
    when: When = When.BESIDE


class Validator:
    """Checks requests against the rules of one service. Raises KeyError for a request without rules."""

    def __init__(self, rules: Mapping[str, Rules], relations: Mapping[str, Sequence[Relation]]) -> None:
        self._rules, self._relations = rules, relations
        #: Request type → its compiled rules, made at the first request of that type.
        self._plans: dict[str, _Plan] = {}

    def __call__(self, request: Message) -> None:
        """Raises InvalidRequest if a field is wrong. It has each wrong field by its path, in the order of the table."""
        name = request.DESCRIPTOR.full_name
        plan = self._plans.get(name)
        if plan is None:
            plan = self._plans[name] = _plan(type(request)(), self._rules[name], self._relations.get(name, ()))
        found = plan.problems(request)
        if found:
            raise InvalidRequest([Violation(path, problem) for path, problem in found])


@dataclass(slots=True, eq=False)
class _Node:
    """The checks of a field, of its elements if it is repeated, and of the fields of its message, by their numbers.

    `position` is the field's place in the table. `missing` is what is wrong with a message that lacks the field.
    `demanding` are the fields of its message that must be given. So fields that are not set, which are most, cost no
    check.
    """

    name: str = ""
    number: int = 0
    position: int = 0
    check: Check | None = None
    missing: tuple[Problem, ...] = ()
    element: _Node | None = None
    fields: dict[int, _Node] = field(default_factory=dict)
    demanding: list[_Node] = field(default_factory=list)


#: The path to a value: fields, and indices of elements.
_Way = tuple["_Node | int", ...]
#: (path to the value, part of a composite value, what is wrong there).
_Found = list[tuple[_Way, str, str]]


@dataclass(frozen=True, slots=True)
class _Plan:
    root: _Node
    before: tuple[Relation, ...]
    beside: tuple[Relation, ...]
    after: tuple[Relation, ...]

    def problems(self, request: Any) -> list[Problem]:
        problems: list[Problem] = []
        for relation in self.before:
            problems.extend(relation.problems(request))
        if problems:
            return problems
        found: _Found = []
        _in_message(request, self.root, (), found)
        if found:
            problems.extend(_in_order(found))
        for relation in self.beside:
            problems.extend(relation.problems(request))
        if not problems:
            for relation in self.after:
                problems.extend(relation.problems(request))
        return problems


def _plan(empty: Message, rules: Rules, relations: Sequence[Relation]) -> _Plan:
    root = _Node()
    for path, check in rules.items():
        _add(root, type(empty)(), path.split("."), check)
    by_time = {when: tuple(each for each in relations if each.when is when) for when in When}
    return _Plan(root, by_time[When.BEFORE], by_time[When.BESIDE], by_time[When.AFTER])


def _add(parent: _Node, message: Any, path: Sequence[str], check: Check) -> None:
    """Adds the rule `check` for the field at `path`. `parent` is the node of `message`, in which the path begins."""
    first, *rest = path
    name = first.removesuffix("[]")
    described, value = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
    node = parent.fields.setdefault(described.number, _Node(name, described.number, len(parent.fields)))
    if first != name:
        node.element = node.element or _Node()
        node, value = node.element, value.add() if rest else value
    if rest:
        _add(node, value, rest, check)
        return
    node.check = check
    if first == name:
        node.missing = tuple(check.problems(None if described.has_presence else value))
        parent.demanding += [node] if node.missing else []


def _in_message(message: Any, node: _Node, way: _Way, found: _Found) -> None:
    given = message.ListFields()
    fields = node.fields
    for described, value in given:
        child = fields.get(described.number)
        if child is not None:
            _in_value(value, child, way, child, found)
    if node.demanding:
        numbers = {described.number for described, _ in given}
        for child in node.demanding:
            if child.number not in numbers:
                found.extend(((*way, child), part, problem) for part, problem in child.missing)


def _in_value(value: Any, node: _Node, way: _Way, step: _Node | int, found: _Found) -> None:
    """Checks a value. `way` is the path to what contains the value, `step` is the last step to the value itself."""
    if node.check is not None:
        wrong = False
        for part, problem in node.check.problems(value):
            wrong = True
            found.append(((*way, step), part, problem))
        if wrong:
            return
    if node.element is not None:
        way = (*way, step)
        for index, element in enumerate(value):
            _in_value(element, node.element, way, index, found)
    elif node.fields:
        _in_message(value, node, (*way, step), found)


def _in_order(found: _Found) -> Iterator[Problem]:
    """Returns each path and what is wrong there, in the order of the table. Only now the paths become texts."""
    found.sort(key=lambda problem: [step if isinstance(step, int) else step.position for step in problem[0]])
    for way, part, problem in found:
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step.name}" for step in way)
        yield f"{path}.{part}".strip("."), problem


def _fitting(violations: Sequence[Violation]) -> list[Violation]:
    room = ROOM_FOR_VIOLATIONS
    kept: list[Violation] = []
    for violation in violations:
        room -= len(violation.field.encode()) + len(violation.description.encode()) + 8
        if room < 0:
            rest = len(violations) - len(kept)
            return [*kept, Violation("", f"{rest} more wrong fields are left out here")]
        kept.append(violation)
    return kept
