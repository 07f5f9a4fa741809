"""A bundle is checked offline, and whatever is changed in it is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from audit.leaves.leaf import event_leaf
from audit.notes.checkpoint import Checkpoint, sign_checkpoint
from audit.notes.cosignature import cosign
from audit.notes.keys import Kind, new_key
from audit.proving import bundle_check
from audit.proving.bundle import Bundle, ProvedEvent, UnfitBundle, read_bundle
from audit.proving.bundle_check import check_bundle
from audit.proving.findings import MOST_TOLD, Report
from audit.tree.frontier import Frontier
from audit.tree.hashing import leaf_hash
from audit.tree.ranges import inclusion_ranges
from tests.support.audit_events import EventWriter
from tests.support.source_mutants import Mutant, noticed

LOG, WITNESS = new_key("example.com/log", Kind.NOTE), new_key("example.com/witness", Kind.COSIGNATURE)
Document = dict[str, Any]


def root(leaves: list[bytes]) -> bytes:
    """The root over leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def bundle() -> Bundle:
    """The proof of an order of three events in a log of eleven leaves."""
    writer = EventWriter()
    events = [writer.event(1) for _ in range(3)]
    leaves = [leaf_hash(bytes([number])) for number in range(11)]
    for index, event in zip((2, 5, 10), events, strict=True):
        leaves[index] = event_leaf(event.event_id, event.order_id, event.version, event.hash).hash
    note = sign_checkpoint(Checkpoint("example.com/log", 11, root(leaves)), LOG)
    note = note.with_signatures(cosign(note, WITNESS, 1_700_000_000))
    proved = [
        ProvedEvent(event, index, [root(leaves[one.start : one.end]) for one in inclusion_ranges(index, 11)])
        for index, event in zip((2, 5, 10), events, strict=True)
    ]
    return Bundle(events[0].order_id, note.text, proved)


DOCUMENT: Document = json.loads(json.dumps(bundle().document()))


def found(document: Document, *, witness: bool = True) -> list[str]:
    """What a check says of a document."""
    report = check_bundle(read_bundle(document), LOG.verification, WITNESS.verification if witness else None)
    return [finding.sentence() for finding in report.findings]


def test_a_bundle_is_what_it_was() -> None:
    assert read_bundle(DOCUMENT) == bundle()
    assert found(DOCUMENT) == []
    assert found(DOCUMENT, witness=False) == []


def redact(document: Document) -> None:
    for event in document["events"]:
        event.update(personal=None, salt=None)


def test_a_redacted_bundle_is_valid() -> None:
    document = copy.deepcopy(DOCUMENT)
    redact(document)
    assert found(document) == []


def set_event(number: int, **fields: object) -> Callable[[Document], None]:
    return lambda document: document["events"][number].update(fields)


#: A change → a part of what is said.
CHANGES: dict[str, tuple[Callable[[Document], None], str]] = {
    "another text": (set_event(1, payload="{}"), "version 2: its hash does not follow"),
    "another type": (set_event(0, event_type="ORDER_SHIPPED"), "version 1: its hash does not follow"),
    "another time": (set_event(2, recorded_at=1), "version 3: its hash does not follow"),
    "another address": (set_event(2, personal="{}"), "version 3: its personal data does not give its digest"),
    "another hash": (set_event(1, hash="00" * 32), "version 2: its hash does not follow"),
    "another id": (
        set_event(1, event_id="00000000-0000-0000-0000-000000000001"),
        "version 2: its hash does not follow",
    ),
    "another place": (
        set_event(1, leaf_index=4),
        "version 2: its proof does not lead to the root that was signed (leaf 4)",
    ),
    "no proof": (set_event(1, proof=[]), "version 2: its proof does not lead"),
    "an event less": (lambda document: document["events"].pop(1), "version 2 is missing"),
    "no events": (lambda document: document["events"].clear(), "the bundle has no events"),
    "another order": (
        lambda document: document.update(order_id="00000000-0000-0000-0000-000000000001"),
        "its hash does not follow",
    ),
    "another size": (
        lambda document: document.update(note=document["note"].replace("\n11\n", "\n12\n")),
        "text was changed",
    ),
    "no signature": (lambda document: document.update(note="a\n\n— b AAAAAAA=\n"), "is not signed with the key"),
}


def every_change_is_named() -> None:
    """Each change is named."""
    for what, (change, said) in CHANGES.items():
        document = copy.deepcopy(DOCUMENT)
        change(document)
        assert any(said in sentence for sentence in found(document)), (what, found(document))


def test_every_change_is_named() -> None:
    every_change_is_named()


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("function", "guard"),
    [
        (bundle_check._check_chain, "link(previous, event) != event.hash"),
        (bundle_check._check_chain, "not has_its_personal_data(event)"),
        (bundle_check._check_chain, "event.version != expected"),
    ],
)
def test_a_check_that_is_left_out_is_noticed(function: Callable[..., None], guard: str) -> None:
    with noticed(Mutant(function, guard, "False")):
        every_change_is_named()


def test_the_witness_must_have_signed_if_its_key_is_given() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["note"] = "".join(line for line in document["note"].splitlines(True) if "witness" not in line)
    assert found(document, witness=False) == []
    assert found(document) == ["the note is not signed by the witness example.com/witness"]


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(format="other"),
        lambda document: document.update(events={}),
        lambda document: document.update(note=1),
        lambda document: document.update(note="\ud800"),
        lambda document: document.update(order_id="x"),
        lambda document: document["events"].append(1),
        set_event(0, version="1"),
        set_event(0, version=True),
        set_event(0, salt="x"),
        set_event(0, personal=1),
        set_event(0, personal="\ud800"),
        set_event(0, payload="\ud800"),
        set_event(0, proof=["??"]),
        set_event(0, proof=["AA=="]),
        set_event(0, hash=None),
    ],
)
def test_what_is_no_bundle(change: Callable[[Document], None]) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    with pytest.raises(UnfitBundle, match="is no bundle"):
        read_bundle(document)


def test_of_many_findings_the_first_are_told() -> None:
    report = Report()
    for number in range(MOST_TOLD + 5):
        report.wrong("x", "o", number)
    assert (len(report.findings), report.untold, report.document()["findings_not_told"]) == (MOST_TOLD, 5, 5)
    assert not report.holds
