"""Encodes and splits signed notes: a text, an empty line, and a line for each signature."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from audit.notes.keys import SigningKey, VerificationKey

_DASH = "\u2014 "
_ID_BYTES = 4
#: More signatures than any note needs. It bounds the work that a foreign note causes.
MOST_SIGNATURES = 64


class UnfitNote(ValueError):  # noqa: N818 - says what is wrong
    """A text is no signed note, or is not signed as it must be. The message is one sentence."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. `blob` is what follows the key's id."""

    name: str
    key_id: bytes
    blob: bytes

    @property
    def line(self) -> str:
        """The line, with its line feed."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.blob).decode()}\n"

    def is_by(self, key: VerificationKey) -> bool:
        """Returns whether name and id are those of `key`. It does not verify anything."""
        return self.name == key.name and self.key_id == key.key_id


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A note: its text, which ends with a line feed, and its signatures, none of which is verified yet."""

    body: str
    signatures: tuple[Signature, ...]

    @property
    def text(self) -> str:
        """The whole note."""
        return f"{self.body}\n{''.join(signature.line for signature in self.signatures)}"

    def with_signatures(self, *more: Signature) -> SignedNote:
        """Returns the note with more signatures. One that it has already is not added."""
        return SignedNote(self.body, tuple(dict.fromkeys((*self.signatures, *more))))


def sign(body: str, key: SigningKey) -> SignedNote:
    """Returns a note with one signature. `body` ends with a line feed."""
    return SignedNote(body, (Signature(key.name, key.verification.key_id, key.sign(body.encode())),))


def parse_note(text: str) -> SignedNote:
    """Splits a note. Raises UnfitNote."""
    body, separator, lines = text.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise UnfitNote("is no signed note: it needs a text, an empty line and at least one signature")
    if any(character < " " and character != "\n" for character in text):
        raise UnfitNote("is no signed note: it has a control character")
    return SignedNote(f"{body}\n", parse_signatures(lines))


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Reads signature lines. Raises UnfitNote."""
    found = tuple(_signature(line) for line in lines.splitlines())
    if not 0 < len(found) <= MOST_SIGNATURES:
        raise UnfitNote(f"has {len(found)} signatures; at least 1 and at most {MOST_SIGNATURES} are allowed")
    return found


def _signature(line: str) -> Signature:
    try:
        name, encoded = line.removeprefix(_DASH).split(" ")
        content = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise UnfitNote("is no signed note: a line of its signatures cannot be read") from None
    if not line.startswith(_DASH) or not name or "+" in name or len(content) <= _ID_BYTES:
        raise UnfitNote("is no signed note: a line of its signatures cannot be read")
    return Signature(name, content[:_ID_BYTES], content[_ID_BYTES:])


def require_signature(note: SignedNote, key: VerificationKey) -> None:
    """Raises UnfitNote unless `key` signed the note, and no signature under its name and id is wrong."""
    by_key = [signature for signature in note.signatures if signature.is_by(key)]
    if not by_key:
        raise UnfitNote(f"is not signed with the key {key.name}+{key.key_id.hex()}")
    if not all(key.verifies(signature.blob, note.body.encode()) for signature in by_key):
        raise UnfitNote(f"has a wrong signature of the key {key.name}+{key.key_id.hex()}: its text was changed")
