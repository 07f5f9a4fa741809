"""Reads the stream's last message, from the stream's leader, and the cursor that the message carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

import structlog

from relay.events.barrier import TERM_HEADER, TIME_HEADER
from relay.events.cursor import HEADER, IN_BODY, Cursor, CursorError, anchor_of, parse, read_cursor, resolve
from relay.events.errors import Refused
from relay.events.tail import Tail
from relay.stream.jetstream_api import JetStreamApi, StoredMessage, StreamInfo

_log = structlog.get_logger(__name__)

#: How many messages before the stream's end are searched for one of ours, if somebody else has written to the stream.
FOREIGN_SEARCH = 1_000


async def read_tail(api: JetStreamApi, stream: str, info: StreamInfo, barrier_subject: str) -> Tail:
    """Reads our last message, and returns the end of the stream.

    The cursor is None if the barrier that it refers to has aged out. Raises Refused if this relay cannot resume that
    kind of cursor, or if none of the last FOREIGN_SEARCH messages is ours.
    """
    created = datetime.fromisoformat(info.created[:26].rstrip("Z") + "+00:00")
    last, foreign = await _last_of_ours(api, stream, info.last_sequence if info.messages else 0)
    if last is None and info.messages > FOREIGN_SEARCH:
        # Without this refusal the stream would count as empty, and get again all events that it has further back.
        raise Refused(
            f"the last {FOREIGN_SEARCH} messages of the stream {stream} are not the relay's: stop whoever else"
            " publishes there, and give the relay a stream of its own (RELAY_STREAM)"
        )
    if last is None:
        return Tail(created, info.last_sequence, info.messages, 0, None, None, foreign)
    if foreign:
        _log.error("foreign messages in the stream", stream=stream, count=foreign, behind_sequence=last.sequence)
    try:
        text = await _long_text(api, stream, last)
    except CursorError as error:
        _log.error("cursor of the last message is lost", stream=stream, problem=str(error))
        cursor = None
    else:
        cursor = read_cursor(text)
    return Tail(
        created,
        info.last_sequence,
        info.messages,
        term_of(last.headers),
        cursor,
        await _as_of(api, stream, last, barrier_subject),
        foreign,
    )


async def cursor_of(api: JetStreamApi, stream: str, message: StoredMessage) -> Cursor:
    """Returns the cursor of one of our messages. If it refers to a barrier, that barrier is read too.

    Raises CursorError if the cursor or its barrier cannot be read.
    """
    return parse(await _long_text(api, stream, message))


async def _long_text(api: JetStreamApi, stream: str, message: StoredMessage) -> str:
    text = message.headers[HEADER]
    anchor = anchor_of(text)
    if anchor is None:
        return text
    if anchor == IN_BODY:
        return _body_cursor(message)
    assert isinstance(anchor, int)
    barrier = await api.message(stream, anchor)
    if barrier is None:
        raise CursorError(f"cursor {text!r} refers to a barrier that the stream does not have any more")
    return resolve(text, _body_cursor(barrier))


def term_of(headers: Mapping[str, str]) -> int:
    """Returns the term of a message, 0 without one."""
    value = headers.get(TERM_HEADER, "")
    return int(value) if value.isdecimal() else 0


def _body_cursor(barrier: StoredMessage) -> str:
    try:
        cursor = json.loads(barrier.body)["cursor"]
    except (ValueError, KeyError, TypeError):
        raise CursorError(f"message {barrier.sequence} should hold a cursor in its body and does not") from None
    return str(cursor)


async def _last_of_ours(api: JetStreamApi, stream: str, last_sequence: int) -> tuple[StoredMessage | None, int]:
    for foreign in range(min(FOREIGN_SEARCH, last_sequence)):
        message = await api.message(stream, last_sequence - foreign)
        if message is not None and HEADER in message.headers:
            return message, foreign
    return None, min(FOREIGN_SEARCH, last_sequence)


async def _as_of(api: JetStreamApi, stream: str, last: StoredMessage, barrier_subject: str) -> int | None:
    """Returns the source time (µs since 1970) of the last barrier, None without one. Later messages keep it true."""
    text = last.headers.get(TIME_HEADER)
    if text is None:
        barrier = await api.last_message(stream, barrier_subject)
        text = barrier.headers.get(TIME_HEADER) if barrier else None
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
