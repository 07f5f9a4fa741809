"""Runs `python -m relay adopt` and prints the result, for people or as one JSON document.

Exit codes: 0 adopted, or nothing to adopt; 1 refused or interrupted; 3 database or stream cannot be reached.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import TextIO

from relay.adoption.adoption import PATIENCE_SECONDS, Adoption, Unreachable
from relay.adoption.parts import NothingToAdopt
from relay.config import RelaySettings
from relay.events.errors import Refused
from relay.outbox.adoption_record import AdoptionRecord
from service_runtime.plain_text import json_text, visible

DONE, REFUSED, DOWN = 0, 1, 3
_SHOWN = 20


def adopt(settings: RelaySettings, *, as_json: bool, force: bool, patience_seconds: float = PATIENCE_SECONDS) -> int:
    """Runs an adoption, prints the result, and returns the exit code. For `patience_seconds` see `Adoption`."""
    try:
        record = asyncio.run(_run(settings, force, patience_seconds))
    except NothingToAdopt:
        return _say(as_json, DONE, ["nothing to adopt: the stream's events are those of this database"], None)
    except Refused as refusal:
        return _say(as_json, REFUSED, [str(refusal)], None)
    except Unreachable as down:
        return _say(as_json, DOWN, [str(down)], None)
    if record is None:
        return _say(as_json, REFUSED, ["interrupted: run it again, relays stay stopped until it is through"], None)
    return _say(as_json, DONE, told(record), record)


async def _run(settings: RelaySettings, force: bool, patience_seconds: float) -> AdoptionRecord | None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    adoption = Adoption(settings, force=force, patience_seconds=patience_seconds)
    return await adoption.run(stop, lambda line: _write(sys.stderr, line))


def told(record: AdoptionRecord) -> Sequence[str]:
    """Returns the result of an adoption as lines of text for people."""
    lines = [
        f"adopted as source epoch {record.source_epoch}, floor {record.floor}",
        f"published {record.published} restored events that the stream lacked",
        f"lost by the source, kept by the stream: {record.lost_events} events of {record.lost_aggregates} aggregates",
    ]
    for one in record.lost[:_SHOWN]:
        version = f" version {one.aggregate_version}" if one.aggregate_version is not None else ""
        lines.append(
            f"  {one.aggregate_type} {one.aggregate_id}{version}: event {one.event_id} at {one.stream_sequence}"
        )
    if record.lost_events > _SHOWN:
        lines.append(f"  … and {record.lost_events - _SHOWN} more; `--json` lists the first thousand")
    return lines


def _say(as_json: bool, code: int, lines: Sequence[str], record: AdoptionRecord | None) -> int:
    if as_json:
        found = record.as_dict() if record is not None else None
        document = {"adopted": record is not None, "exit_code": code, "message": lines[0]}
        sys.stdout.write(json_text(document | {"adoption": found}) + "\n")
    else:
        for line in lines:
            _write(sys.stdout if code == DONE else sys.stderr, line)
    return code


def _write(stream: TextIO, line: str) -> None:
    """Writes a line. Escapes characters that would control a terminal, because ids and reasons come from outside."""
    stream.write(f"{visible(line)}\n")
    stream.flush()
