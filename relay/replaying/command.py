"""Runs `relay replay` and prints its progress and result, for people or as one JSON document.

Exit codes: 0 the stream has everything; 1 refused, interrupted, or another replay has taken over; 2 wrong usage;
3 database or stream cannot be reached.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TextIO

from relay.config import RelaySettings
from relay.events.errors import Refused
from relay.replaying.pace import Progress
from relay.replaying.replay import PATIENCE_SECONDS, Replay, ReplayReport, Unreachable
from relay.replaying.request import Misused, ReplayRequest, replay_settings
from service_runtime.plain_text import json_text, visible

DONE, REFUSED, MISUSED, DOWN = 0, 1, 2, 3
#: How often progress is printed.
TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ReplayWords:
    """The words of the command line; see `ReplayRequest.parse` and `replay_settings`."""

    start: str
    to: str
    until: str | None = None
    filters: Sequence[str] = ()
    rate: int | None = None
    max_age_seconds: int | None = None
    max_bytes: int | None = None
    replicas: int | None = None


def replay(
    settings: RelaySettings, words: ReplayWords, *, as_json: bool, patience_seconds: float = PATIENCE_SECONDS
) -> int:
    """Runs a replay, prints progress and result, and returns the exit code. For `patience_seconds` see `Replay`."""
    try:
        request = ReplayRequest.parse(
            stream=words.to, start=words.start, end=words.until, filters=words.filters, rate=words.rate
        )
        target = replay_settings(
            settings,
            words.to,
            max_age_seconds=words.max_age_seconds,
            max_bytes=words.max_bytes,
            replicas=words.replicas,
        )
        report = asyncio.run(_run(settings, target, request, as_json, patience_seconds))
    except Misused as misused:
        return _failed(as_json, MISUSED, str(misused))
    except Refused as refusal:
        return _failed(as_json, REFUSED, str(refusal))
    except Unreachable as down:
        return _failed(as_json, DOWN, f"{down}; repeat the command to go on")
    return _say(as_json, report)


async def _run(
    settings: RelaySettings, target: RelaySettings, request: ReplayRequest, as_json: bool, patience_seconds: float
) -> ReplayReport:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    due = time.monotonic() + TELL_SECONDS

    def tell(progress: Progress) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due and not as_json:
            due = now + TELL_SECONDS
            _write(sys.stderr, progress.line(now))

    return await Replay(settings, target, request, tell=tell, patience_seconds=patience_seconds).run(stop)


def _failed(as_json: bool, code: int, error: str) -> int:
    if as_json:
        sys.stdout.write(json_text({"error": error, "exit_code": code}) + "\n")
    else:
        _write(sys.stderr, error)
    return code


def _say(as_json: bool, report: ReplayReport) -> int:
    code = DONE if report.complete else REFUSED
    if as_json:
        sys.stdout.write(json_text(asdict(report) | {"exit_code": code}) + "\n")
        return code
    published = f"published {report.events} events in {report.seconds:.1f} s"
    if report.notices:
        published += f", and {report.notices} notices in the places of events that are parked"
    if report.complete:
        _write(sys.stdout, f"{published}; stream {report.stream} has everything up to position {report.position}")
    else:
        _write(sys.stderr, f"interrupted at position {report.position}: {published}; repeat the command to go on")
    return code


def _write(stream: TextIO, line: str) -> None:
    stream.write(f"{visible(line)}\n")
    stream.flush()
