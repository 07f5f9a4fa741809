"""Writes and reads resume tokens: text that says which changes of which stream a watcher has got.

A token ends with check digits, so that a damaged one is refused. They prove nothing about who wrote it: a later edition
of the token can hold a MAC in their place, under another prefix.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from typing import Any

from query_service.application.ports.errors import ResumeTokenMalformed

_PREFIX = "w1."
_CHECK_BYTES = 4
_LONGEST = 4096
#: The most owed changes that a token names. With more, it names the first of them and its position is before the next.
MOST_OWED = 64
_NOT_OURS = (
    "the resume token is damaged or was not issued by this service; watch without a resume token, or from a list's"
)


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A watcher has got every change up to the stream sequence `position`, except those `owed`, in ascending order.

    `stream_created_at` (microseconds since 1970) distinguishes the stream from others of the same name.
    """

    stream_created_at: int
    position: int
    owed: tuple[int, ...] = ()

    def token(self) -> str:
        """Returns the token of this point."""
        position, owed = self.position, self.owed
        if len(owed) > MOST_OWED:
            position, owed = owed[MOST_OWED] - 1, owed[:MOST_OWED]
        body = json.dumps([self.stream_created_at, position, *owed], separators=(",", ":")).encode()
        return _PREFIX + base64.urlsafe_b64encode(body + _check_digits(body)).decode().rstrip("=")


def read_resume_token(token: str) -> ResumePoint:
    """Returns the point of a token. Raises ResumeTokenMalformed."""
    encoded = token.removeprefix(_PREFIX)
    if encoded == token or len(token) > _LONGEST:
        raise ResumeTokenMalformed(_NOT_OURS)
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        body, check_digits = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        numbers: Any = json.loads(body) if _check_digits(body) == check_digits else None
    except (binascii.Error, ValueError, RecursionError):
        raise ResumeTokenMalformed(_NOT_OURS) from None
    if not _is_point(numbers):
        raise ResumeTokenMalformed(_NOT_OURS)
    return ResumePoint(numbers[0], numbers[1], tuple(numbers[2:]))


def _check_digits(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(_CHECK_BYTES)


def _is_point(numbers: Any) -> bool:
    if not isinstance(numbers, list) or not 2 <= len(numbers) <= 2 + MOST_OWED:
        return False
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        return False
    _, position, *owed = numbers
    return all(0 < sequence <= position for sequence in owed) and owed == sorted(set(owed))
