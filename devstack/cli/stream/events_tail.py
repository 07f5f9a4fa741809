"""Follows the stream's events: from so many events back, whatever messages are between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from devstack.cli.stream.connection import NATS_ERRORS, connected
from devstack.cli.stream.silence import NobodyAnswers
from devstack.cli.waiting_time import patience_seconds
from relay.config import RelaySettings

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

STREAM = "ORDERS"
_FETCH_SECONDS = 1.0


def event_subjects(template: str) -> str:
    """Returns the subjects of events without barriers: `orders.v1.{partition}.{event_type}` is `orders.v1.*.*`."""
    return ".".join("*" if "{" in token else token for token in template.split("."))


async def tail_events(
    url: str,
    stop: asyncio.Event,
    row: Callable[..., None],
    *,
    last: int,
    follow: bool,
    stream: str = STREAM,
    template: str = RelaySettings.model_fields["subject_template"].default,
) -> None:
    """Passes the last events to `row`, and later ones until `stop`. Raises NobodyAnswers."""
    subjects = event_subjects(template)
    try:
        async with connected(url) as client:
            jetstream = client.jetstream(timeout=patience_seconds())
            first = await sequence_of_last(jetstream, stream, subjects, last)
            subscription = await jetstream.pull_subscribe(subjects, stream=stream, config=_from(subjects, first))
            await _pass_on(client, subscription, stop, row, follow=follow)
    except NotFoundError:
        raise NobodyAnswers(f"NATS on {url} has no stream {stream}; the relay makes it when it starts.") from None
    except NATS_ERRORS as error:
        why = str(error).removeprefix("nats: ") or "no answer in time"
        raise NobodyAnswers(f"NATS on {url.rpartition('@')[2]} does not answer: {why}.") from None


async def _pass_on(
    client: Client,
    subscription: JetStreamContext.PullSubscription,
    stop: asyncio.Event,
    row: Callable[..., None],
    *,
    follow: bool,
) -> None:
    """Calls `row` for each event until `stop` is set, or without `follow` until the events of now are printed."""
    left = (await subscription.consumer_info()).num_pending or 0
    while not stop.is_set() and (follow or left > 0):
        fetched = await _fetched(subscription, stop)
        messages = [message for message in fetched if "ce-id" in (message.headers or {})]
        for message in messages:
            row(*_columns(message))
        left -= len(messages)
        if not messages:  # The server is idle, or it hangs: it must answer a ping in time.
            await client.flush(round(patience_seconds()) + 1)


async def sequence_of_last(jetstream: JetStreamContext, stream: str, subjects: str, count: int) -> int:
    """Returns the sequence from which the stream has the last `count` messages of these subjects."""
    state = (await jetstream.stream_info(stream)).state
    low, high = max(1, state.first_seq), state.last_seq + 1
    if count == 0:
        return high
    # The server counts matching messages from a sequence on, so a binary search finds it in few requests.
    while high - low > 1:
        middle = (low + high) // 2
        if await _messages_from(jetstream, stream, subjects, middle) >= count:
            low = middle
        else:
            high = middle
    return low


async def _messages_from(jetstream: JetStreamContext, stream: str, subjects: str, first: int) -> int:
    consumer = await jetstream.add_consumer(stream, config=_from(subjects, first))
    await jetstream.delete_consumer(stream, consumer.name)
    return consumer.num_pending or 0


def _from(subjects: str, first: int) -> ConsumerConfig:
    """Creates a consumer of our own, which the server drops after we have left."""
    return ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first,
        filter_subject=subjects,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30.0,
        mem_storage=True,
    )


async def _fetched(subscription: JetStreamContext.PullSubscription, stop: asyncio.Event) -> list[Msg]:
    """Returns the next messages; none if a second brought none, or a stop came."""
    fetching = asyncio.ensure_future(subscription.fetch(100, timeout=_FETCH_SECONDS))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({fetching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return fetching.result() if fetching.done() else []
    except TimeoutError:  # the library raises its own, and the one it is made from
        return []
    finally:
        for task in (fetching, stopping):
            task.cancel()
        await asyncio.gather(fetching, stopping, return_exceptions=True)


def _columns(message: Msg) -> tuple[Any, ...]:
    headers = message.headers or {}
    recorded = json.loads(message.data).get("headers") or {}
    return (
        _recorded_at(headers),
        message.metadata.sequence.stream,
        unquote(headers["ce-type"]),
        unquote(headers["ce-subject"]),
        int(headers["Tandem-Version"]),
        str(recorded.get("actor", "")),
    )


def _recorded_at(headers: Mapping[str, str]) -> str:
    """Returns when the event was recorded, as RFC 3339 with microseconds."""
    after = int(headers.get("Tandem-Recorded-After", "0"))
    if not after:
        return headers["ce-time"]
    moment = datetime.fromisoformat(headers["ce-time"]) + timedelta(microseconds=after)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
