"""Derives the number of an order for which the caller chose none.

The number depends on the order id alone, so a retry derives the same one. It is 75 bits of the id's SHA-256, written as
three groups of five characters of Crockford's base 32 (no I, L, O, U). The probability that two of 100 million orders
get the same number is 10⁻⁷. The second of them is then refused as `order-number-taken`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from uuid import UUID

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUPS, _GROUP_LENGTH, _BITS = 3, 5, 5


@lru_cache(maxsize=256)  # the claim of an order and its decision both ask for the number
def order_number_of(order_id: UUID) -> str:
    """Returns the number, for example `7KQF2-9MXWA-3RTD8`."""
    length = _GROUPS * _GROUP_LENGTH
    number = int.from_bytes(hashlib.sha256(b"order-number\0" + order_id.bytes).digest())
    digits = "".join(_ALPHABET[number >> (_BITS * place) & 31] for place in range(length))
    return "-".join(digits[start : start + _GROUP_LENGTH] for start in range(0, length, _GROUP_LENGTH))
