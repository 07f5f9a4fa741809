"""Checks the labels in requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tandem.orders.label_keys import FORM, MAX_LABELS, MAX_VALUE_LENGTH, is_label_key

from service_runtime.edge.field_checks import Check, Problems, identifier, must
from service_runtime.edge.request_validation import Problem, Relation

MAX_NOTE_LENGTH = 2_000
_VALUE = identifier(MAX_VALUE_LENGTH)


def labels() -> Check:
    """Returns a check of a map of labels: their number, each key, and each value, which may be empty."""

    def problems(value: Mapping[str, str]) -> Problems:
        if len(value) > MAX_LABELS:
            return [("", f"has {len(value)} labels, at most {MAX_LABELS} are allowed")]
        return [("", sentence) for key in sorted(value) for sentence in _wrong(key, value[key])]

    return Check(f"at most {MAX_LABELS} labels; a key is {FORM}; a value has {_VALUE.demands}", problems)


def label_key() -> Check:
    """Returns a check of one key."""
    return must(f"be the key of a label: {FORM}", is_label_key)


def _wrong(key: str, value: str) -> Iterator[str]:
    if not is_label_key(key):
        yield f"has the key {_shown(key)}, which is not {FORM}"
        return
    yield from (f"has for the key {key} a value that {sentence}" for _, sentence in _VALUE.problems(value))


def _shown(key: str) -> str:
    return repr(key if len(key) <= 80 else f"{key[:80]}…")


def _set_and_removed(request: Any) -> Iterator[Problem]:
    for index, key in enumerate(request.remove_labels):
        if key in request.set_labels:
            yield f"remove_labels[{index}]", "is in set_labels too; name a label in one of them"


#: Checks that no label is both set and removed.
SET_OR_REMOVED = Relation(_set_and_removed)
