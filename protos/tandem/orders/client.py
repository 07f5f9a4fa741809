"""Provides channel options for the stubs, and a session that carries tokens from commands to queries.

This module starts no threads and opens no connections.
"""

from __future__ import annotations

import json
import logging
import threading
from datetime import timedelta
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from tandem.orders import consistency_token
from tandem.orders.errors import OrderError, TokenFromOtherSource
from tandem.orders.v1.order_query_service_pb2 import OnTimeout, ReadOptions

_log = logging.getLogger(__name__)
COMMANDS = "tandem.orders.v1.OrderCommandService"
QUERIES = "tandem.orders.v1.OrderQueryService"


def service_config(service: str | None = None) -> str:
    """Returns a gRPC service config as JSON: the channel balances calls over all replicas and retries UNAVAILABLE.

    With `service` (`COMMANDS` or `QUERIES`) the channel checks that service's health and skips replicas that report
    NOT_SERVING. Use such a channel for that service alone. Commands may be retried because `request_id` makes them
    safe to repeat. The config sets no deadlines, because Python's gRPC counts a configured `timeout` from the wrong
    moment. Pass `timeout=` with each call.
    """
    methods: list[dict[str, object]] = [
        {
            "name": [{"service": service}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
        for service in (COMMANDS, QUERIES)
    ]
    config: dict[str, object] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": methods,
        # While most calls fail, the channel stops retrying. It starts again when calls succeed.
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
    if service is not None:
        config["healthCheckConfig"] = {"serviceName": service}
    return json.dumps(config)


def channel_options(service: str | None = None) -> list[tuple[str, str | int]]:
    """Returns channel options: `service_config(service)`, and keepalive pings that the servers accept."""
    return [
        ("grpc.service_config", service_config(service)),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ]


class CarriesToken(Protocol):
    """Any response to a command."""

    @property
    def consistency_token(self) -> str:
        """The token that contains the order's new version; empty when there is none."""
        ...


class Session:
    """Remembers what one user or task wrote, so that their next queries see it. Use one session per user.

    A session remembers the last 64 orders written. After a restore of the source database, the tokens from before the
    restore can no longer be honoured. The first response with the new source epoch replaces them. A session may be used
    from several threads.
    """

    def __init__(self) -> None:
        self.token: str = ""
        self._changing = threading.Lock()  # responses may arrive in several threads

    def wrote(self, response: CarriesToken) -> None:
        """Adds a command's response to the session. With more than 64 orders the earliest are forgotten.

        Never raises, because the command was done even if its token is wrong. A token that cannot be read is logged and
        ignored. A token with an older source epoch than the session's is ignored.
        """
        given = response.consistency_token
        with self._changing:
            self.token = consistency_token.latest(self.token, given)
        if given and not consistency_token.epoch_of(given):
            _log.warning("cannot read the consistency token of a command's response: queries will not wait for it")

    def forget(self) -> None:
        """Forgets what was written. The next answers may then be older than what this session wrote."""
        with self._changing:
            self.token = ""

    def refused(self, error: OrderError) -> bool:
        """Handles a query's refusal. Returns whether to repeat the query now with new `read_options()`.

        Returns True when the refusal is TOKEN_FROM_OTHER_SOURCE and the source was restored after this session wrote.
        The session's token is then dropped. Returns False for any other refusal. Also returns False when the token is
        newer than the read model, which then has not yet followed the restore; the query may succeed later.
        """
        if not isinstance(error, TokenFromOtherSource) or error.token_epoch >= error.current_epoch:
            return False
        with self._changing:
            if self.token and consistency_token.epoch_of(self.token) < error.current_epoch:
                _log.warning("the source database was restored: this session forgets what it wrote before")
                self.token = ""
        return True

    def read_options(
        self,
        max_wait: timedelta = timedelta(seconds=2),
        on_timeout: OnTimeout.ValueType = OnTimeout.ON_TIMEOUT_FAIL,
    ) -> ReadOptions:
        """Returns options with which a query waits up to `max_wait` (at most 5 s) for what this session wrote.

        `on_timeout` says what the service does after `max_wait`: refuse with READ_MODEL_BEHIND, or give a stale answer
        and set `ReadInfo.stale`.
        """
        wait = Duration()
        wait.FromTimedelta(max_wait)
        return ReadOptions(consistency_token=self.token, max_wait=wait, on_timeout=on_timeout)
