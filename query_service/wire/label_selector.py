"""Parses label selectors, which are written as in Kubernetes: `a=b,c!=d,e in (x,y),f notin (z),g,!h`.

Conditions are separated by commas, and an order must meet all of them. Beyond Kubernetes, a value may stand in double
quotes, because values of labels may have any visible character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tandem.orders.label_keys import MAX_VALUE_LENGTH, is_label_key

from query_service.application.ports.label_conditions import LabelCondition

MAX_CONDITIONS = 32
#: A sign, a text in quotes, or a word. A quote that is not closed is a word of one character.
_TOKEN = re.compile(r'\s*(?:(?P<sign>==|!=|[=!,()])|"(?P<quoted>(?:[^"\\]|\\["\\])*)"|(?P<word>[^\s=!,()"]+|"))')
_ESCAPED = re.compile(r'\\(["\\])')
_EQUAL: Mapping[str, bool] = {"=": False, "==": False, "!=": True}
_ONE_OF: Mapping[str, bool] = {"in": False, "notin": True}


class WrongSelector(ValueError):  # noqa: N818 - says what it is
    """The selector cannot be read. The message says what was expected at which character, counted from 1."""


def label_conditions(selector: str) -> tuple[LabelCondition, ...]:
    """Returns the conditions of a selector; none for an empty one. Raises WrongSelector."""
    if not selector.strip():
        return ()
    return _Parser(selector).conditions()


class _Parser:
    """Reads a selector from left to right, one token ahead."""

    def __init__(self, selector: str) -> None:
        self._selector, self._end = selector, 0
        self._next()

    def conditions(self) -> tuple[LabelCondition, ...]:
        found = [self._condition()]
        while self._is("sign", ","):
            self._next()
            found.append(self._condition())
        if self._kind:
            raise self._wrong("a comma or the end")
        if len(found) > MAX_CONDITIONS:
            raise WrongSelector(f"has {len(found)} conditions, at most {MAX_CONDITIONS} are allowed")
        return tuple(found)

    def _condition(self) -> LabelCondition:
        if self._is("sign", "!"):
            self._next()
            return LabelCondition(self._key(), negated=True)
        key, sign = self._key(), self._text
        if self._kind == "sign" and sign in _EQUAL:
            self._next()
            return LabelCondition(key, (self._value(),), _EQUAL[sign])
        if self._kind == "word" and sign in _ONE_OF:
            self._next()
            return LabelCondition(key, self._values(), _ONE_OF[sign])
        if self._kind and not self._is("sign", ","):
            raise self._wrong("=, ==, !=, in, notin, a comma or the end")
        return LabelCondition(key)

    def _key(self) -> str:
        key = self._text
        if self._kind != "word" or not is_label_key(key):
            raise self._wrong("the key of a label")
        self._next()
        return key

    def _values(self) -> tuple[str, ...]:
        self._sign("(")
        values = {self._value()}
        while self._is("sign", ","):
            self._next()
            values.add(self._value())
        self._sign(")")
        return tuple(sorted(values))

    def _value(self) -> str:
        """Reads a value, which is empty where a sign or the end follows."""
        if self._kind not in ("word", "quoted"):
            if self._kind and self._text not in (",", ")"):
                raise self._wrong("a value")
            return ""
        value = self._text
        if value == '"' and self._kind == "word":
            raise self._wrong("a value whose quotes are closed")
        if len(value) > MAX_VALUE_LENGTH:
            raise self._wrong(f"a value of at most {MAX_VALUE_LENGTH} characters")
        self._next()
        return value

    def _sign(self, sign: str) -> None:
        if not self._is("sign", sign):
            raise self._wrong(sign)
        self._next()

    def _is(self, kind: str, text: str) -> bool:
        return (self._kind, self._text) == (kind, text)

    def _next(self) -> None:
        """Reads the next token. At the end of the selector, `_kind` is "" and the token is empty."""
        rest = self._selector[self._end :]
        self._start = self._end + len(rest) - len(rest.lstrip())
        self._kind = self._text = ""
        found = _TOKEN.match(self._selector, self._end)
        if found is not None:
            self._end = found.end()
            self._kind = found.lastgroup or ""
            text = found[self._kind]
            self._text = _ESCAPED.sub(r"\1", text) if self._kind == "quoted" else text

    def _wrong(self, expected: str) -> WrongSelector:
        there = f"there is {self._text[:20]!r}" if self._kind else "it ends there"
        return WrongSelector(f"needs {expected} at character {self._start + 1}, but {there}")
