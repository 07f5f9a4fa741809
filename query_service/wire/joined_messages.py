"""Joins encoded messages to a larger one.

Protobuf allows encoded parts of a message to be concatenated. So an answer with orders is made of the orders' bytes,
and of the other fields as a message of their own.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

_LENGTH_DELIMITED = 2


class EncodedField:
    """A field of a message whose value is a message that is encoded already."""

    def __init__(self, message: Descriptor, field: str) -> None:
        self._tag = _varint(message.fields_by_name[field].number << 3 | _LENGTH_DELIMITED)

    def of(self, encoded: bytes) -> bytes:
        """Returns the bytes that a message with this value has for this field; for each value if it is repeated."""
        return self._tag + _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
