"""Compares counts with the committed ones, and says in words what has changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.counts.counting import Document
from bench.harness.settings import PROJECT

BASELINE = PROJECT / "bench" / "baselines" / "counts.json"
ACCEPT = "make counts WRITE=1"


def committed() -> Document:
    """Returns the committed counts."""
    document: Document = json.loads(BASELINE.read_text(encoding="utf-8"))
    return document


def as_text(document: Document) -> str:
    """Returns the document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(document: Document) -> None:
    """Replaces the committed counts. A count that this system cannot take keeps its committed figure."""
    BASELINE.parent.mkdir(exist_ok=True)
    before = _flat(committed()) if BASELINE.exists() else {}
    kept = {
        part: {
            work: {
                name: before.get(f"{part}.{work}.{name}") if value is None else value for name, value in figures.items()
            }
            for work, figures in works.items()
        }
        for part, works in document.items()
    }
    BASELINE.write_text(as_text(kept), encoding="utf-8")


def differences(counted: Document, baseline: Document) -> list[str]:
    """Returns one sentence for each count that is not as in the baseline. None is equal to every figure.

    A fall is a difference too. If the lower figure were not written down, nobody would notice a later rise to the old
    one.
    """
    now, before = _flat(counted), _flat(baseline)
    found = []
    for name in [*before, *(name for name in now if name not in before)]:
        match before.get(name), now.get(name):
            case old, _ if name not in now:
                found.append(f"{name} is counted no more; it was {old}.")
            case _, new if name not in before:
                found.append(f"{name} is new: {new}.")
            case int(old), int(new) if new > old:
                found.append(f"{name} rose from {old} to {new}.")
            case int(old), int(new) if new < old:
                found.append(f"{name} fell from {old} to {new}; write the lower figure down.")
    return found


def report(found: list[str]) -> str:
    """Returns the differences with what to do about them."""
    return "\n".join([
        *found,
        f"Undo the change that costs more. If the change is meant, run `{ACCEPT}` and commit {BASELINE.name}: its diff"
        " tells the reviewer what the change costs.",
    ])  # fmt: skip


def _flat(document: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    return {
        f"{part}.{work}.{name}": value
        for part, works in document.items()
        for work, figures in works.items()
        for name, value in figures.items()
    }
