"""Derives the options for the connection to NATS, the plan of the stream, and the sink from the settings."""

from __future__ import annotations

from relay.config import RelaySettings
from relay.stream.nats_connection import NatsOptions
from relay.stream.publish_policy import PublishPolicy
from relay.stream.setup import StreamPlan
from relay.stream.sink import JetStreamSink, OnStored, WindowLimits
from service_runtime.nats_servers import nats_login, nats_servers


def nats_options(settings: RelaySettings) -> NatsOptions:
    """Returns the options for a connection to NATS."""
    return NatsOptions(
        tuple(nats_servers(settings.nats_url)),
        nats_login(settings.nats_url),
        settings.nats_credentials_file,
        settings.nats_ca_file,
        settings.nats_certificate_file,
        settings.nats_key_file,
    )


def stream_plan(settings: RelaySettings) -> StreamPlan:
    """Returns the plan to which the stream must conform."""
    return StreamPlan(
        settings.stream,
        settings.subject_template,
        settings.barrier_subject,
        settings.stream_max_age_seconds,
        settings.stream_max_bytes,
        settings.create_stream,
        settings.stream_replicas,
    )


def stream_sink(settings: RelaySettings, on_stored: OnStored) -> JetStreamSink:
    """Returns the sink that publishes to the stream. It calls `on_stored` with each stored flight."""
    limits = WindowLimits(settings.window_events, settings.window_bytes, settings.ack_timeout_seconds)
    return JetStreamSink(
        nats_options(settings), stream_plan(settings), PublishPolicy(settings.publish), limits, on_stored
    )
