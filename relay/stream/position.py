"""Reads the stream's last message, from the stream's leader, and the cursor that the message carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

import structlog

from relay.events.barrier import ADOPTING_HEADER, TIME_HEADER
from relay.events.cursor import HEADER, IN_BODY, Cursor, CursorError, anchor_of, parse, read_cursor, resolve
from relay.events.errors import Refused
from relay.events.message import EPOCH_HEADER, TERM_HEADER
from relay.events.tail import Orphan, Tail
from relay.stream.jetstream_api import JetStreamApi, StoredMessage, StreamInfo

_log = structlog.get_logger(__name__)


class BarrierGone(CursorError):  # noqa: N818 - read as the state it names
    """The stream has the barrier that a message names no more."""

    def __init__(self, orphan: Orphan) -> None:
        super().__init__(f"cursor {orphan.text!r} names a barrier that the stream does not have any more")
        self.orphan = orphan


#: How many messages before the stream's end are searched for one of ours, if somebody else has written to the stream.
FOREIGN_SEARCH = 1_000


async def read_tail(api: JetStreamApi, stream: str, info: StreamInfo, barrier_subject: str) -> Tail:
    """Reads our last message, and returns the end of the stream.

    Raises Refused if this relay cannot resume that kind of cursor, or if none of the last FOREIGN_SEARCH messages is
    ours.
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
    as_of = await _as_of(api, stream, last, barrier_subject)
    try:
        holder = await _holder(api, stream, last)
        cursor = read_cursor(_long_text(last, holder))
    except BarrierGone as gone:
        barrier = gone.orphan.barrier
        _log.warning("the barrier of the last message has aged out", stream=stream, barrier=barrier)
        # Each term begins with a barrier of its own. So up to that barrier, no term is higher than its sequence.
        return Tail(
            created, info.last_sequence, info.messages, barrier, None, as_of, foreign, gone.orphan, epoch_of(last)
        )
    except CursorError as error:
        raise Refused(f"the stream's last position cannot be resumed: {error}") from None
    return Tail(
        created,
        info.last_sequence,
        info.messages,
        term_of(holder.headers),
        cursor,
        as_of,
        foreign,
        epoch=max(epoch_of(last), epoch_of(holder)),
    )


async def cursor_of(api: JetStreamApi, stream: str, message: StoredMessage) -> Cursor:
    """Returns the cursor of one of our messages. If it names a barrier, that barrier is read too.

    Raises BarrierGone if the stream has that barrier no more, CursorError if the cursor cannot be read.
    """
    return parse(_long_text(message, await _holder(api, stream, message)))


async def _holder(api: JetStreamApi, stream: str, message: StoredMessage) -> StoredMessage:
    """Returns the message that has base and term of `message`: the barrier that it names, or itself."""
    text = message.headers[HEADER]
    anchor = anchor_of(text)
    if not isinstance(anchor, int):
        return message
    barrier = await api.message(stream, anchor)
    if barrier is None:
        raise BarrierGone(Orphan(text, anchor))
    return barrier


def _long_text(message: StoredMessage, holder: StoredMessage) -> str:
    """Returns the long form of the cursor of `message`. Raises CursorError if `holder` has no cursor in that form."""
    text = holder.headers.get(HEADER, "")
    if anchor_of(text) == IN_BODY:
        text = _body_cursor(holder)
    if holder is message:
        return text
    if not text or anchor_of(text) is not None:
        raise CursorError(f"message {message.sequence} names message {holder.sequence} as its barrier, which is none")
    return resolve(message.headers[HEADER], text)


def term_of(headers: Mapping[str, str]) -> int:
    """Returns the term of a message, 0 without one."""
    return _number(headers, TERM_HEADER)


def epoch_of(message: StoredMessage) -> int:
    """Returns the highest source epoch that a message names: its own, or that of an unfinished adoption. 0 without."""
    return max(_number(message.headers, EPOCH_HEADER), _number(message.headers, ADOPTING_HEADER))


def _number(headers: Mapping[str, str], name: str) -> int:
    value = headers.get(name, "")
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
