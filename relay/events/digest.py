"""Writes and computes digests as headers carry them: base64url without padding, 43 characters for 32 bytes."""

from __future__ import annotations

import hashlib
from binascii import b2a_base64, unhexlify

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def base64url(hexadecimal: str) -> str:
    """Returns bytes in base64url without padding (RFC 4648, section 5)."""
    return b2a_base64(unhexlify(hexadecimal), newline=False).translate(_URL_SAFE, b"=").decode()


def digest_of_personal(personal: str, salt: str) -> str:
    """Returns the SHA-256 of salt and personal data, both as stored, in lower-case hex. The salt is hexadecimal."""
    return hashlib.sha256(unhexlify(salt) + personal.encode()).hexdigest()
