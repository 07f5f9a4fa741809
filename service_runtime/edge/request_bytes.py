"""Requests are parsed here and not by gRPC, which answers bytes that are no message as a fault of the server, with the
words of a library, and tells no counter of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass


def parser_of(request: Descriptor, refusal: Callable[[str], Exception]) -> Callable[[bytes], Any]:
    """What makes a message of a request's bytes; it raises `refusal(sentence)` when they are no message."""
    message_class = GetMessageClass(request)

    def parse(sent: bytes) -> Any:
        try:
            return message_class.FromString(sent)
        except DecodeError:
            raise refusal(f"the bytes are no {request.name}") from None

    return parse
