"""Fills the subject template for an event, and checks whether a stream accepts every result."""

from __future__ import annotations

import re
import string

from relay.events.errors import Unpublishable

TEMPLATE_FIELDS = ("partition", "event_type", "aggregate_type")
#: A value is one or more tokens, separated by dots. No token is empty or has a wildcard, blank or control character.
_VALUE = re.compile(r"[^\s.*>\x00-\x1f\x7f]+(?:\.[^\s.*>\x00-\x1f\x7f]+)*")
_CACHED = 8_192


class SubjectTemplate:
    """The template of the subjects of all events, such as `orders.v1.{partition}.{event_type}`.

    Raises ValueError if it is no template, or if no stream could accept its subjects.
    """

    def __init__(self, template: str) -> None:
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        except ValueError as error:
            raise ValueError(f"is no template: {error}") from None
        unknown = sorted(set(fields) - set(TEMPLATE_FIELDS))
        if unknown:
            raise ValueError(f"knows no field {unknown[0]!r}; there are {', '.join(TEMPLATE_FIELDS)}")
        literal = template.format(**dict.fromkeys(TEMPLATE_FIELDS, "x"))
        if not _VALUE.fullmatch(literal):
            raise ValueError("must give tokens separated by single dots, without blanks and wildcards")
        if "{" in template.split(".", 1)[0]:
            raise ValueError("must begin with a literal token, which tells this stream's subjects from others")
        self._template = template
        self._cache: dict[tuple[object, str, str], bytes] = {}

    def subject(self, partition: int, event_type: str, aggregate_type: str) -> bytes:
        """Returns the subject of an event. Raises Unpublishable if a value cannot be part of a subject."""
        key = (partition, event_type, aggregate_type)
        known = self._cache.get(key)
        if known is not None:
            return known
        for name, value in (("event_type", event_type), ("aggregate_type", aggregate_type)):
            if f"{{{name}}}" in self._template and not _VALUE.fullmatch(value):
                raise Unpublishable(f"{name} cannot stand in a subject (blank, wildcard or empty token)")
        subject = self._template.format(
            partition=partition, event_type=event_type, aggregate_type=aggregate_type
        ).encode()
        if len(self._cache) >= _CACHED:
            self._cache.clear()
        self._cache[key] = subject
        return subject

    @property
    def filters(self) -> list[str]:
        """The stream subjects that cover the template: the literal tokens before the first field, then `>`."""
        tokens = self._template.split(".")
        literal = next((i for i, token in enumerate(tokens) if "{" in token), len(tokens))
        return [".".join([*tokens[:literal], ">"]) if literal < len(tokens) else self._template]

    def may_produce(self, subject: str) -> bool:
        """Returns whether the template could give some event exactly this subject."""
        pattern = "".join(
            re.escape(text) + (_VALUE.pattern if name is not None and name != "partition" else r"\d+" if name else "")
            for text, name, _, _ in string.Formatter().parse(self._template)
        )
        return re.fullmatch(pattern, subject) is not None


def takes(stream_subject: str, wanted: str) -> bool:
    """Returns whether `stream_subject` matches every subject that `wanted` matches. Both may have wildcards."""
    have, want = stream_subject.split("."), wanted.split(".")
    for i, part in enumerate(have):
        if part == ">":
            return len(want) > i
        if i >= len(want) or want[i] == ">" or (part != "*" and part != want[i]):
            return False
    return len(have) == len(want)


def overlap(one: str, other: str) -> bool:
    """Returns whether some subject matches both patterns. Both may have wildcards."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)
