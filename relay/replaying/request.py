"""Describes what an operator wants replayed, and reads it from the words of a command line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from relay.config import RelaySettings
from relay.events.subject import overlap
from relay.stream.access import stream_plan

MOST_FILTERS, LONGEST_FILTER = 100, 200
_POSITION = re.compile("[0-9]{1,19}", re.ASCII)
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LAST_POSITION = 2**63 - 1


class Misused(ValueError):  # noqa: N818 - read as the state it names
    """An argument is wrong. The message names the argument and says what to write instead."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of what is replayed: a position of the outbox, or a time (`recorded_at`, µs since 1970)."""

    position: int | None = None
    time: int | None = None

    @classmethod
    def parse(cls, argument: str, word: str) -> Bound:
        """Reads `1234` or `2026-01-31T12:00:00Z`. Raises Misused, which names `argument`."""
        if _POSITION.fullmatch(word) and int(word) <= _LAST_POSITION:
            return cls(position=int(word))
        try:
            moment = datetime.fromisoformat(word)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise Misused(
                f"{argument} {word!r} is neither a position such as 1234 nor a time such as 2026-01-31T12:00:00Z"
            )
        return cls(time=int(moment.timestamp()) * 1_000_000 + moment.microsecond)


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What to replay, and where to.

    `start` includes its position or time. `end` includes its position, but not its time. Without an end everything is
    replayed that is committed when the replay begins. `types` and `aggregates` are the event types and aggregate ids to
    replay, UUIDs in small letters; all if empty. `rate` is the most events in a second; None for no limit.
    """

    stream: str
    start: Bound
    end: Bound = Bound()
    types: Sequence[str] = ()
    aggregates: Sequence[str] = ()
    rate: int | None = None

    @classmethod
    def parse(
        cls, *, stream: str, start: str, end: str | None, filters: Sequence[str], rate: int | None
    ) -> ReplayRequest:
        """Reads the words of a command line. Raises Misused."""
        wanted: dict[str, set[str]] = {"TYPE": set(), "AGGREGATE": set()}
        if len(filters) > MOST_FILTERS:
            raise Misused(f"--filter stands {len(filters)} times; {MOST_FILTERS} are allowed")
        for word in filters:
            key, equals, value = word.partition("=")
            if not equals or key not in wanted or not 0 < len(value) <= LONGEST_FILTER:
                raise Misused(
                    f"--filter {word[:80]!r} is neither TYPE=… nor AGGREGATE=… with a value of up to"
                    f" {LONGEST_FILTER} characters"
                )
            wanted[key].add(value.lower() if key == "AGGREGATE" and is_uuid(value) else value)
        until = Bound() if end is None else Bound.parse("--until", end)
        return cls(
            stream, Bound.parse("--from", start), until, sorted(wanted["TYPE"]), sorted(wanted["AGGREGATE"]), rate
        )

    def identity(self, table: str) -> str:
        """Returns a text that is the same for two requests for the same events of an outbox table."""
        chosen = {
            "table": table,
            "from": [self.start.position, self.start.time],
            "until": [self.end.position, self.end.time],
            "types": list(self.types),
            "aggregates": list(self.aggregates),
        }
        return json.dumps(chosen, separators=(",", ":"))


def is_uuid(aggregate: str) -> bool:
    """Returns whether an aggregate's id is a UUID, in which the case of letters has no meaning."""
    return _UUID.fullmatch(aggregate) is not None


def replay_settings(
    settings: RelaySettings,
    stream: str,
    *,
    max_age_seconds: int | None = None,
    max_bytes: int | None = None,
    replicas: int | None = None,
) -> RelaySettings:
    """Returns the settings with which a replay publishes to `stream`: its subjects are `replay.<stream>.<subject>`.

    The limits are for a stream that the replay creates; those of the relay's stream if None. Raises Misused if the
    stream is the relay's own, if the subjects overlap, or if a value is not allowed.
    """
    if stream == settings.stream:
        raise Misused(f"--to {stream} is the relay's own stream: name another one, which the replay may create")
    prefix = f"replay.{stream}"
    limits = {
        "stream_max_age_seconds": max_age_seconds,
        "stream_max_bytes": max_bytes,
        "stream_replicas": replicas,
    }
    changes = {
        "stream": stream,
        "create_stream": True,
        "barrier_subject": f"{prefix}.{settings.barrier_subject}",
        "subject_template": f"{prefix}.{settings.subject_template}",
    } | {name: value for name, value in limits.items() if value is not None}
    try:
        changed = RelaySettings.model_validate(settings.model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        name = {"stream": "--to", "stream_max_age_seconds": "--max-age", "stream_max_bytes": "--max-bytes",
                "stream_replicas": "--replicas"}.get(str((first["loc"] or ("",))[0]), "--to")  # fmt: skip
        raise Misused(f"{name}: {first['msg']}") from None
    for own in stream_plan(settings).subjects:
        for other in stream_plan(changed).subjects:
            if overlap(own, other):
                raise Misused(f"--to {stream}: the relay's subjects {own} overlap the replay's, {other}")
    return changed
