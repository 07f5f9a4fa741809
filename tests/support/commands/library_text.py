"""Writes a message as ProtoJSON by the protobuf library, for comparisons with the texts of the journal."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import MessageToDict

MAPS = ("labels", "previousLabels")


def library_text(message: Any) -> str:
    """Returns what the library writes, with the entries of maps sorted: it keeps them in no certain order."""
    told = MessageToDict(message)
    for owner in (told, told.get("order", {})):
        owner.update({name: dict(sorted(owner[name].items())) for name in MAPS if name in owner})
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)
