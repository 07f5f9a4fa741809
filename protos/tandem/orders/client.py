"""Gives a caller channel options, and sessions that carry tokens from answers to queries.

Pure functions and one small object: no threads, no connections.
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
    """Returns a channel's service config: balance over all replicas, and retry what no replica accepted.

    With `service` (`COMMANDS` or `QUERIES`) a replica that reports this service as not serving gets no calls; the
    channel must then be to that service alone. Commands may be retried, because `request_id` makes them safe to repeat.
    The config has no deadlines, because Python's gRPC counts a configured `timeout` from the wrong moment. Pass
    `timeout=` with each call instead.
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
        # Callers of a service that fails all the time stop retrying, and start again as calls succeed.
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
    if service is not None:
        config["healthCheckConfig"] = {"serviceName": service}
    return json.dumps(config)


def channel_options(service: str | None = None) -> list[tuple[str, str | int]]:
    """Returns the channel arguments for `service_config(service)` and for the servers' ping limits."""
    return [
        ("grpc.service_config", service_config(service)),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ]


class CarriesToken(Protocol):
    """The response of any command."""

    @property
    def consistency_token(self) -> str:
        """The token of the change."""
        ...


class Session:
    """Remembers what one user or task wrote, so that their next queries see it. Do not share it between users.

    It remembers the last 64 orders written. After the source database was restored, older writes can no longer be asked
    for: the first answer with the new source epoch replaces them.
    """

    def __init__(self) -> None:
        self.token: str = ""
        self._changing = threading.Lock()  # answers may come in several threads

    def wrote(self, response: CarriesToken) -> None:
        """Records a command's answer; beyond 64 orders the earliest are forgotten.

        Never raises, because the command was executed, whatever its token is. A token that cannot be read is ignored
        and logged, and one of an older source epoch is ignored.
        """
        given = response.consistency_token
        with self._changing:
            self.token = consistency_token.latest(self.token, given)
        if given and not consistency_token.epoch_of(given):
            _log.warning("the consistency token of a command's answer cannot be read: no question will ask for it")

    def forget(self) -> None:
        """Drops everything: the next answers may be older than what this session wrote."""
        with self._changing:
            self.token = ""

    def refused(self, error: OrderError) -> bool:
        """Records a query's refusal; returns whether to ask again, with a new `read_options()`.

        True after TOKEN_FROM_OTHER_SOURCE if the source was restored since this session wrote; its token is dropped.
        False if the read model does not follow the restored source yet: the token is right, and the query may be
        retried later.
        """
        if not isinstance(error, TokenFromOtherSource) or error.token_epoch >= error.current_epoch:
            return False
        with self._changing:
            if self.token and consistency_token.epoch_of(self.token) < error.current_epoch:
                _log.warning("the source database was restored: what this session wrote before is no longer asked for")
                self.token = ""
        return True

    def read_options(
        self,
        max_wait: timedelta = timedelta(seconds=2),
        on_timeout: OnTimeout.ValueType = OnTimeout.ON_TIMEOUT_FAIL,
    ) -> ReadOptions:
        """Returns options for any query: the answer contains what this session wrote, or the call is refused."""
        wait = Duration()
        wait.FromTimedelta(max_wait)
        return ReadOptions(consistency_token=self.token, max_wait=wait, on_timeout=on_timeout)
