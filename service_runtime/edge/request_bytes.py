"""Parses requests itself instead of letting gRPC do it.

If the bytes of a request are no message, gRPC would answer with a server error and a text of a library, and our
counters would not count the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass


def parser_of(request: Descriptor, refusal: Callable[[str], Exception]) -> Callable[[bytes], Any]:
    """Returns a function that parses a request's bytes. It raises `refusal(sentence)` for bytes that are no message."""
    message_class = GetMessageClass(request)

    def parse(sent: bytes) -> Any:
        try:
            return message_class.FromString(sent)
        except DecodeError:
            raise refusal(f"the bytes are no {request.name}") from None

    return parse
