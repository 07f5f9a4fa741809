"""Sends and receives notices between projectors and serving processes, over core NATS.

A notice may be lost. Then a waiting reader reads the store again after a quarter of a second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from tandem.orders.partition import partition_of

from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.freshness.view import FreshnessView
from query_service.application.lags.recent_lags import RecentLags
from query_service.application.ports.read_store import Freshness
from query_service.handlers.nats_connection import NATS_ERRORS
from query_service.handlers.notices.subjects import NoticeSubjects, generation_of
from query_service.projection.proto_json import microseconds, moment
from service_runtime.error_text import in_one_line

_log = structlog.get_logger(__name__)


class NoticeSender:
    """Implements Announcer for a projector. Errors of NATS are only logged."""

    def __init__(self, client: Client, subjects: NoticeSubjects) -> None:
        self._client, self._subjects = client, subjects

    async def applied(self, versions: Sequence[tuple[str, int]]) -> None:
        """See Announcer."""
        for partition, changed in _by_partition(versions).items():
            await self._send(self._subjects.applied(partition), orjson.dumps(changed))

    async def parked(self, versions: Sequence[tuple[str, int]]) -> None:
        """See Announcer."""
        for partition, changed in _by_partition(versions).items():
            await self._send(self._subjects.parked(partition), orjson.dumps(changed))

    async def as_of(self, freshness: Freshness) -> None:
        """Publishes how fresh the read model is."""
        await self._send(self._subjects.as_of, orjson.dumps(freshness_fields(freshness)))

    async def lags(self, counts: Mapping[str, Mapping[int, int]]) -> None:
        """Publishes counts of events: stage → bucket of the duration → number."""
        if counts:
            await self._send(self._subjects.lag, orjson.dumps(counts, option=orjson.OPT_NON_STR_KEYS))

    async def _send(self, subject: str, body: bytes) -> None:
        if not self._client.is_connected:
            return  # the library would buffer it, and it would arrive too late to help
        try:
            await self._client.publish(subject, body)
        except NATS_ERRORS as error:
            _log.debug("notice lost", subject=subject, error=in_one_line(error))


class NoticeListener:
    """Passes the notices of every generation to the waiting readers of this process.

    `view` is the freshness of look-ups by id, `listed` that of searches.
    """

    def __init__(
        self,
        board: NoticeBoard,
        view: FreshnessView,
        listed: FreshnessView,
        parked: ParkedOrders,
        lags: RecentLags,
        subjects: NoticeSubjects,
    ) -> None:
        self._board, self._view, self._listed, self._parked = board, view, listed, parked
        self._lags, self._subjects = lags, subjects

    async def listen(self, client: Client) -> None:
        """Subscribes. Every notice that arrives after this returned wakes its readers. Raises one of NATS_ERRORS."""
        await client.subscribe(self._subjects.applied("*"), cb=self._on_orders)
        await client.subscribe(self._subjects.parked("*"), cb=self._on_parked)
        await client.subscribe(self._subjects.as_of, cb=self._on_as_of)
        await client.subscribe(self._subjects.lag, cb=self._on_lag)
        await client.subscribe(self._subjects.refreshed, cb=self._on_refreshed)
        await client.flush()

    async def _on_orders(self, message: Msg) -> None:
        if not len(self._board):
            return
        try:
            self._board.announce(order_id for order_id, _ in orjson.loads(message.data))
        except (ValueError, TypeError):
            _log.warning("notice not understood", subject=message.subject)

    async def _on_parked(self, message: Msg) -> None:
        try:
            for order_id, version in orjson.loads(message.data):
                self._parked.add(str(order_id), int(version))
        except (ValueError, TypeError):
            _log.warning("notice not understood", subject=message.subject)
        await self._on_orders(message)

    async def _on_as_of(self, message: Msg) -> None:
        try:
            self._view.observe(freshness_of(orjson.loads(message.data)))
        except (ValueError, TypeError, KeyError):
            _log.warning("notice not understood", subject=message.subject)

    async def _on_refreshed(self, message: Msg) -> None:
        try:
            body = orjson.loads(message.data)
            if body["done"] and body["freshness"] is not None:
                self._listed.observe(freshness_of(body["freshness"]))
        except (ValueError, TypeError, KeyError):
            _log.warning("notice not understood", subject=message.subject)

    async def _on_lag(self, message: Msg) -> None:
        if generation_of(message.subject) != self._view.serving:
            return  # the lag of a generation that is being rebuilt is not the lag that readers see
        try:
            for stage, counts in orjson.loads(message.data).items():
                self._lags.add(stage, {int(bucket): int(count) for bucket, count in counts.items()})
        except (ValueError, TypeError, AttributeError):
            _log.warning("notice not understood", subject=message.subject)


def freshness_fields(freshness: Freshness) -> dict[str, Any]:
    """Returns a claim of freshness as the fields of a notice."""
    return {
        "as_of": _rfc3339(freshness.as_of),
        "generation": freshness.generation,
        "source_epoch": freshness.source_epoch,
        "stream_created_at": _rfc3339(freshness.stream_created_at),
        "sequence": freshness.sequence,
    }


def freshness_of(fields: Mapping[str, Any]) -> Freshness:
    """Returns the claim of freshness in a notice. Raises ValueError, TypeError or KeyError for malformed fields."""
    return Freshness(
        as_of=microseconds(fields["as_of"], "as_of"),
        source_epoch=int(fields["source_epoch"]),
        generation=str(fields["generation"]),
        stream_created_at=microseconds(fields["stream_created_at"], "stream_created_at"),
        sequence=int(fields["sequence"]),
    )


def _by_partition(versions: Sequence[tuple[str, int]]) -> dict[int, list[tuple[str, int]]]:
    grouped: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
    for order_id, version in versions:
        grouped[partition_of(order_id)].append((order_id, version))
    return grouped


def _rfc3339(microseconds_since_epoch: int) -> str:
    when: datetime = moment(microseconds_since_epoch).astimezone(UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
