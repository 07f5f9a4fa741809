"""Makes and verifies cosignatures: a witness says at what time a checkpoint was the newest that it had seen."""

from __future__ import annotations

from audit.notes.keys import SigningKey, VerificationKey
from audit.notes.signed_note import Signature, SignedNote, UnfitNote

_TIME_BYTES = 8


def cosign(note: SignedNote, key: SigningKey, at: int) -> Signature:
    """Returns the witness's signature of a checkpoint. `at` is in seconds since 1970."""
    blob = at.to_bytes(_TIME_BYTES) + key.sign(_signed(note.body, at))
    return Signature(key.name, key.verification.key_id, blob)


def require_cosignature(note: SignedNote, key: VerificationKey) -> int:
    """Returns when the witness cosigned the note, in seconds since 1970. Raises UnfitNote unless it did."""
    for signature in note.signatures:
        if signature.is_by(key):
            at = int.from_bytes(signature.blob[:_TIME_BYTES])
            if not key.verifies(signature.blob[_TIME_BYTES:], _signed(note.body, at)):
                raise UnfitNote(f"has a wrong signature of the witness {key.name}: its text was changed")
            return at
    raise UnfitNote(f"is not signed by the witness {key.name}")


def _signed(body: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{body}".encode()
