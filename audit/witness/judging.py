"""Judges a checkpoint that a log submits to its witness. Does no I/O."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from audit.notes.checkpoint import Checkpoint, parse_checkpoint
from audit.notes.keys import VerificationKey
from audit.notes.signed_note import SignedNote, UnfitNote, parse_note, require_signature
from audit.tree.hashing import EMPTY_ROOT, HASH_BYTES
from audit.tree.proofs import consistent

#: A proof has at most one hash for each level of the tree.
MOST_PROOF_LINES = 63


class Refused(Exception):  # noqa: N818 - says what happened
    """A submission is refused with an HTTP status. `dishonest`: the log signed something that contradicts itself."""

    def __init__(self, status: int, reason: str, *, dishonest: bool = False) -> None:
        super().__init__(reason)
        self.status, self.dishonest = status, dishonest


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint with the proof that it continues the witness's last one, of `old_size` leaves."""

    old_size: int
    proof: tuple[bytes, ...]
    note: SignedNote


def parse_submission(text: str) -> Submission:
    """Reads the body of a request. Raises Refused."""
    head, separator, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    number = first.removeprefix("old ")
    if not separator or not first.startswith("old ") or not (number.isascii() and number.isdigit()):
        raise Refused(400, "the request must be: old SIZE, the lines of the proof, an empty line, the checkpoint")
    if len(lines) > MOST_PROOF_LINES or len(number) > 18:
        raise Refused(400, f"a proof has at most {MOST_PROOF_LINES} lines, and a size at most 18 digits")
    try:
        proof = tuple(base64.b64decode(line, validate=True) for line in lines)
        parsed = parse_note(note)
    except (ValueError, binascii.Error) as error:
        raise Refused(400, f"the request cannot be read: {error}") from None
    if any(len(one) != HASH_BYTES for one in proof):
        raise Refused(400, f"each line of a proof is the base64 of {HASH_BYTES} bytes")
    return Submission(int(number), proof, parsed)


def judge(last: Checkpoint | None, submission: Submission, log_key: VerificationKey) -> Checkpoint:
    """Returns the checkpoint if it may be signed. `last` is the one that was signed last. Raises Refused."""
    try:
        checkpoint = parse_checkpoint(submission.note.body)
    except UnfitNote as unfit:
        raise Refused(400, f"the note {unfit}") from None
    if checkpoint.origin != log_key.name:
        raise Refused(404, f"this witness knows the log {log_key.name}, not {checkpoint.origin[:200]}")
    try:
        require_signature(submission.note, log_key)
    except UnfitNote as unfit:
        raise Refused(403, f"the checkpoint {unfit}") from None
    if submission.old_size > checkpoint.size:
        raise Refused(400, f"a checkpoint of {checkpoint.size} leaves cannot continue one of {submission.old_size}")
    known = last or Checkpoint(checkpoint.origin, 0, EMPTY_ROOT)
    if submission.old_size != known.size:
        # The status 409 of the protocol; the body is the size that the witness has signed.
        raise Refused(409, str(known.size), dishonest=checkpoint.size < known.size)
    if not _continues(known, checkpoint, submission.proof):
        raise Refused(
            422,
            f"the log has forked: its {checkpoint.size} leaves do not begin with the {known.size} that were signed",
            dishonest=True,
        )
    return checkpoint


def _continues(known: Checkpoint, new: Checkpoint, proof: tuple[bytes, ...]) -> bool:
    if new.size == 0:
        return new.root == EMPTY_ROOT and not proof
    return consistent(known.root, known.size, new.root, new.size, proof)
