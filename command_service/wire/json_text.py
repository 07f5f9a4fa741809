"""Messages → compact ProtoJSON text, the form in which the journal keeps them for ever."""

from __future__ import annotations

import json

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def json_text(message: Message) -> str:
    """ProtoJSON with camelCase names, unset fields left out, no white space, non-ASCII text as it is."""
    return json.dumps(MessageToDict(message), separators=(",", ":"), ensure_ascii=False)
