"""What a caller adds to the stubs: how to connect, and how to carry tokens from answers to questions. Pure functions
and one small object; no threads, no connections of its own."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from tandem.orders import consistency_token
from tandem.orders.v1.order_query_service_pb2 import OnTimeout, ReadOptions

COMMANDS = "tandem.orders.v1.OrderCommandService"
QUERIES = "tandem.orders.v1.OrderQueryService"


def service_config(service: str | None = None) -> str:
    """Service config for a channel: spread over all replicas, retry what no replica took.

    With `service` (`COMMANDS` or `QUERIES`) replicas that say of it that they do not serve get no calls; the channel
    must then be to that service alone. Commands may be retried because `request_id` makes them safe to repeat.
    Deadlines are not in it, on purpose: Python's gRPC counts a configured `timeout` from the wrong moment; pass
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
    """Channel arguments that go with `service_config(service)` and with the servers' ping limits."""
    return [
        ("grpc.service_config", service_config(service)),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ]


class CarriesToken(Protocol):
    """Any command response."""

    @property
    def consistency_token(self) -> str:
        """The token of the change."""


class Session:
    """Remembers what one user or task wrote, so that their next questions see it. Not for sharing between users."""

    def __init__(self) -> None:
        self.token = ""
        self._merging = threading.Lock()

    def wrote(self, response: CarriesToken) -> None:
        """Takes a command's answer into account; beyond 64 orders the earliest are forgotten."""
        with self._merging:  # answers may come in several threads
            self.token = consistency_token.merge(self.token, response.consistency_token, forget_oldest=True)

    def read_options(
        self,
        max_wait: timedelta = timedelta(seconds=2),
        on_timeout: OnTimeout.ValueType = OnTimeout.ON_TIMEOUT_FAIL,
    ) -> ReadOptions:
        """Options for any query: the answer contains what this session wrote, or the call says that it does not."""
        wait = Duration()
        wait.FromTimedelta(max_wait)
        return ReadOptions(consistency_token=self.token, max_wait=wait, on_timeout=on_timeout)
