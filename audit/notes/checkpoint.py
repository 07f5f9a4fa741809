"""Encodes and reads checkpoints: notes that say how many leaves a log has, and their root."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from audit.notes.keys import SigningKey, VerificationKey
from audit.notes.signed_note import SignedNote, UnfitNote, parse_note, require_signature, sign
from audit.tree.hashing import HASH_BYTES


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: `origin` names the log, `root` is the root over its first `size` leaves."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> SignedNote:
    """Returns the signed checkpoint. The log's key has the log's name."""
    return sign(checkpoint.body, key)


def parse_checkpoint(body: str) -> Checkpoint:
    """Reads the text of a checkpoint; lines after the third are allowed and ignored. Raises UnfitNote."""
    lines = body.split("\n")
    try:
        origin, size, root = lines[0], lines[1], base64.b64decode(lines[2], validate=True)
    except (IndexError, ValueError, binascii.Error):
        raise UnfitNote("is no checkpoint: it needs the lines origin, size and root") from None
    is_number = size.isascii() and size.isdigit() and len(size) <= 18 and (size == "0" or size[0] != "0")
    if not origin or not is_number or len(root) != HASH_BYTES or not all(lines[:-1]):
        raise UnfitNote("is no checkpoint: it needs the lines origin, size and root")
    return Checkpoint(origin, int(size), root)


def open_checkpoint(text: str, key: VerificationKey) -> tuple[Checkpoint, SignedNote]:
    """Returns the checkpoint in a note and the note. Raises UnfitNote unless the log's key `key` signed it."""
    note = parse_note(text)
    require_signature(note, key)
    checkpoint = parse_checkpoint(note.body)
    if checkpoint.origin != key.name:
        raise UnfitNote(f"is of the log {checkpoint.origin}, and the key is of the log {key.name}")
    return checkpoint, note
