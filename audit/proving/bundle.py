"""A bundle: the events of one order, with the proof that they are in a signed log. One JSON document."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard
from uuid import UUID

from audit.leaves.hash_chain import RecordedEvent
from audit.tree.hashing import HASH_BYTES

FORMAT = "tandem-audit-bundle/v1"
_TEXTS = ("aggregate_type", "event_type", "headers", "payload")
_NUMBERS = ("version", "occurred_at", "recorded_at")


class UnfitBundle(ValueError):  # noqa: N818 - says what is wrong
    """A document is no bundle. The message names the field."""


@dataclass(frozen=True, slots=True)
class ProvedEvent:
    """An event, the index of its leaf, and the proof that the leaf is in the tree."""

    event: RecordedEvent
    leaf_index: int
    proof: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The proof of one order. `note` is the signed checkpoint to which the proofs lead."""

    order_id: UUID
    note: str
    events: Sequence[ProvedEvent]

    def document(self) -> dict[str, Any]:
        """The bundle as a JSON document. Hashes and salt are hex, proofs base64, times µs since 1970."""
        return {
            "format": FORMAT,
            "order_id": str(self.order_id),
            "note": self.note,
            "events": [_event_document(one) for one in self.events],
        }


def read_bundle(document: Any) -> Bundle:
    """Reads a bundle. Raises UnfitBundle."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UnfitBundle(f"is no bundle: its field format must be {FORMAT}")
    events, note = document.get("events"), document.get("note")
    if not isinstance(events, list) or not _is_text(note):
        raise UnfitBundle("is no bundle: it needs the fields events and note")
    order_id = _uuid(document, "order_id")
    return Bundle(order_id, note, [_proved(one, order_id) for one in events])


def _event_document(proved: ProvedEvent) -> dict[str, Any]:
    event = proved.event
    return {
        "event_id": str(event.event_id),
        **{name: getattr(event, name) for name in (*_TEXTS, *_NUMBERS)},
        "personal": event.personal,
        "salt": None if event.salt is None else event.salt.hex(),
        "personal_digest": event.personal_digest.hex(),
        "hash": event.hash.hex(),
        "leaf_index": proved.leaf_index,
        "proof": [base64.b64encode(one).decode() for one in proved.proof],
    }


def _proved(one: Any, order_id: UUID) -> ProvedEvent:
    if not isinstance(one, dict):
        raise UnfitBundle("is no bundle: an entry of events is no object")
    personal, salt, proof = one.get("personal"), one.get("salt"), one.get("proof")
    if not all(part is None or _is_text(part) for part in (personal, salt)) or not isinstance(proof, list):
        raise UnfitBundle("is no bundle: personal and salt of an event are texts or null, proof is a list")
    texts = {name: _typed(one, name, str) for name in _TEXTS}
    numbers = {name: _typed(one, name, int) for name in _NUMBERS}
    event = RecordedEvent(
        event_id=_uuid(one, "event_id"),
        order_id=order_id,
        personal=personal,
        salt=None if salt is None else _hex(one, "salt"),
        personal_digest=_hex(one, "personal_digest"),
        hash=_hex(one, "hash"),
        **texts,
        **numbers,
    )
    try:
        hashes = [base64.b64decode(part, validate=True) for part in proof]
    except (TypeError, ValueError, binascii.Error):
        raise UnfitBundle("is no bundle: an entry of proof is no base64") from None
    if any(len(part) != HASH_BYTES for part in hashes):
        raise UnfitBundle(f"is no bundle: an entry of proof has not {HASH_BYTES} bytes")
    return ProvedEvent(event, _typed(one, "leaf_index", int), hashes)


def _typed(document: Mapping[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if not isinstance(value, kind) or isinstance(value, bool) or (kind is str and not _is_text(value)):
        raise UnfitBundle(f"is no bundle: {name} of an event is missing or wrong")
    return value


def _is_text(value: object) -> TypeGuard[str]:
    """Returns whether the value is a text that has bytes. JSON can also write half of a character."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _uuid(document: Mapping[str, Any], name: str) -> UUID:
    try:
        return UUID(_typed(document, name, str))
    except ValueError:
        raise UnfitBundle(f"is no bundle: {name} is no UUID") from None


def _hex(document: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(_typed(document, name, str))
    except ValueError:
        raise UnfitBundle(f"is no bundle: {name} of an event is no hex") from None
