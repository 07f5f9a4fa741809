"""Makes, writes and reads the keys that sign notes.

A verification key is the text `NAME+ID+MATERIAL`, a signing key `PRIVATE+KEY+NAME+ID+MATERIAL`. The material is base64
of one byte for the kind of signature and 32 bytes of the key. The id is 8 hex digits, derived from name and public key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_PRIVATE = "PRIVATE+KEY+"
_KEY_BYTES = 32


class UnfitKey(ValueError):  # noqa: N818 - says what is wrong
    """A text is no key of the kind that is needed. The message says why, without the text."""


class Kind(IntEnum):
    """What a key signs: notes, or checkpoints of a log of which it is a witness."""

    NOTE = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """The public half of a key. `key_id` is the 4 bytes that signatures begin with."""

    name: str
    kind: Kind
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Derives the id from name, kind and public key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The key as operators copy it."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Returns whether `signature` (64 bytes) over `signed` was made with this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A key that signs. `seed` is secret."""

    name: str
    kind: Kind
    seed: bytes

    @property
    def verification(self) -> VerificationKey:
        """The public half."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return VerificationKey(self.name, self.kind, public)

    @property
    def text(self) -> str:
        """The key as its file holds it."""
        material = base64.b64encode(bytes([self.kind]) + self.seed).decode()
        return f"{_PRIVATE}{self.name}+{self.verification.key_id.hex()}+{material}"

    def sign(self, signed: bytes) -> bytes:
        """Returns the signature, 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(signed)


def new_key(name: str, kind: Kind) -> SigningKey:
    """Makes a key from the system's randomness. Raises UnfitKey for a name that notes cannot hold."""
    check_name(name)
    return SigningKey(name, kind, Ed25519PrivateKey.generate().private_bytes_raw())


def check_name(name: str) -> None:
    """Raises UnfitKey unless notes can hold the name of a key."""
    if not name or "+" in name or not name.isprintable() or name != "".join(name.split()):
        raise UnfitKey("a name of a key must not be empty, and has no blank, no + and no control character")


def signing_key(text: str) -> SigningKey:
    """Reads a signing key. Raises UnfitKey."""
    if not text.startswith(_PRIVATE):
        raise UnfitKey(f"is no signing key, which begins with {_PRIVATE}")
    name, key_id, kind, seed = _parts(text.removeprefix(_PRIVATE))
    key = SigningKey(name, kind, seed)
    if key.verification.key_id != key_id:
        raise UnfitKey("is no signing key: its id does not fit its name and material")
    return key


def verification_key(text: str, kind: Kind) -> VerificationKey:
    """Reads a verification key of one kind. Raises UnfitKey."""
    if text.startswith(_PRIVATE):
        raise UnfitKey("is a signing key, which is secret; give the verification key")
    name, key_id, found, public = _parts(text)
    if found is not kind:
        wanted = "a log's key" if kind is Kind.NOTE else "a witness's key"
        raise UnfitKey(f"is not {wanted}: its kind is {found.value} and must be {kind.value}")
    key = VerificationKey(name, kind, public)
    if key.key_id != key_id:
        raise UnfitKey("is no verification key: its id does not fit its name and material")
    return key


def _parts(text: str) -> tuple[str, bytes, Kind, bytes]:
    try:
        name, key_id, material = text.strip().split("+", 2)
        content = base64.b64decode(material, validate=True)
        check_name(name)
        found = name, bytes.fromhex(key_id), Kind(content[0]), content[1:]
    except (ValueError, IndexError, binascii.Error):
        raise UnfitKey("is no key: it must be NAME+ID+MATERIAL in one line") from None
    if len(found[3]) != _KEY_BYTES:
        raise UnfitKey(f"is no key: its material has {len(found[3])} bytes and must have {_KEY_BYTES}")
    return found
