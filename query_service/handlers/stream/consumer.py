"""Sets up and inspects the durable consumers that all projectors share, one for each generation."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import datetime

from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError

from query_service.application.ports.generations import FIRST_GENERATION
from query_service.application.ports.read_store import Freshness, StoreIdentity
from service_runtime.process import StartupRefused

#: The metadata key for the id of the read model that the consumer feeds. The consumer's acks are worthless for another
#: read model.
READ_MODEL = "tandem-read-model"


@dataclass(frozen=True, slots=True)
class ConsumerPlan:
    """The required set-up of the consumer.

    `ack_wait` is in seconds. `durable` False: the server deletes the consumer a minute after its last use. `rebuilt`: a
    rebuild creates the consumer, to deliver the messages after the sequence `tail` only.
    """

    stream: str
    name: str
    ack_wait: float
    max_ack_pending: int
    durable: bool = True
    rebuilt: bool = False
    tail: int | None = None

    def configuration(self, read_model: str) -> ConsumerConfig:
        """Returns the consumer's configuration: deliver everything, and redeliver it until it is acknowledged."""
        return ConsumerConfig(
            name=self.name,
            durable_name=self.name if self.durable else None,
            inactive_threshold=None if self.durable else 60.0,
            deliver_policy=DeliverPolicy.ALL if self.tail is None else DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=None if self.tail is None else self.tail + 1,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self.ack_wait,
            max_deliver=-1,
            max_ack_pending=self.max_ack_pending,
            metadata={READ_MODEL: read_model},
        )


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """The state of consumer and stream.

    `ack_floor` and `first_sequence` are stream sequences. `pending` counts messages that are not acknowledged.
    `stream_created_at` is in microseconds since 1970.
    """

    ack_floor: int
    pending: int
    first_sequence: int
    stream_created_at: int
    #: The read model that the consumer feeds; "" for a consumer that `migrate` did not create.
    read_model: str


async def ensure_consumer(client: Client, plan: ConsumerPlan, identity: StoreIdentity, known: Freshness | None) -> str:
    """Creates the consumer, or changes it to the plan, and returns a text that says what was done. Safe to repeat.

    Raises StartupRefused when the stream does not exist, or no longer has all messages that this read model lacks.
    """
    stream = await _stream(client, plan.stream)
    found = await _consumer(client, plan)
    if found is not None and _fed_by(found) == identity.read_model:
        wanted = plan.configuration(identity.read_model)
        wanted.deliver_policy, wanted.opt_start_seq = found.config.deliver_policy, found.config.opt_start_seq
        await client.jetstream().add_consumer(plan.stream, wanted)
        return f"the consumer {plan.name} of the stream {plan.stream} exists"
    first = first_sequence(stream)
    covered = known.sequence if known is not None and known.stream_created_at == microseconds_of(stream.created) else 0
    if first > covered + 1:
        raise StartupRefused(
            f"messages {covered + 1} to {first - 1} have left the stream {plan.stream} and are not in this read model:"
            " it must be rebuilt from the write side; run `tandem rebuild start`"
        )
    if found is not None:
        await client.jetstream().delete_consumer(plan.stream, plan.name)
    await client.jetstream().add_consumer(plan.stream, plan.configuration(identity.read_model))
    replaced = ", in place of one that fed another read model" if found is not None else ""
    return f"created the consumer {plan.name} of the stream {plan.stream}{replaced}"


async def create_consumer(client: Client, plan: ConsumerPlan, read_model: str) -> None:
    """Creates the consumer of a generation that is being rebuilt; safe to repeat. Raises one of NATS_ERRORS."""
    await client.jetstream().add_consumer(plan.stream, plan.configuration(read_model))


async def check_consumer(client: Client, plan: ConsumerPlan, identity: StoreIdentity) -> None:
    """Checks that the consumer exists, feeds this read model, and redelivers until acknowledged.

    Raises StartupRefused when it does not.
    """
    await _stream(client, plan.stream)
    found = await _consumer(client, plan)
    if found is None:
        raise StartupRefused(missing_consumer(plan))
    wanted = plan.configuration(identity.read_model)
    config = found.config
    if _fed_by(found) != identity.read_model:
        raise StartupRefused(foreign_consumer(plan))
    wrong = [
        f"{name} is {found_value} and must be {wanted_value}"
        for name, found_value, wanted_value in (
            ("ack_policy", config.ack_policy, wanted.ack_policy),
            ("max_deliver", config.max_deliver, wanted.max_deliver),
            *([] if plan.rebuilt else [("deliver_policy", config.deliver_policy, wanted.deliver_policy)]),
            ("filter_subject", config.filter_subject, None),
            ("filter_subjects", config.filter_subjects, None),
            ("backoff", config.backoff, None),
        )
        if (found_value or None) != (wanted_value or None)
    ]
    if (config.max_ack_pending or 0) < plan.max_ack_pending:
        wrong.append(f"max_ack_pending is {config.max_ack_pending} and must be at least {plan.max_ack_pending}")
    if wrong:
        raise StartupRefused(
            f"the consumer {plan.name} has the wrong settings ({'; '.join(wrong)});"
            " run `python -m query_service migrate`"
        )


async def consumer_state(client: Client, plan: ConsumerPlan) -> ConsumerState | None:
    """Returns the present state; None when stream or consumer does not exist. Raises one of NATS_ERRORS.

    It asks for the stream first, then for the consumer. So messages that leave the stream in between may raise the ack
    floor, but not `first_sequence`.
    """
    try:
        stream = await client.jetstream().stream_info(plan.stream)
        info = await client.jetstream().consumer_info(plan.stream, plan.name)
    except NotFoundError:
        return None
    return ConsumerState(
        ack_floor=info.ack_floor.stream_seq if info.ack_floor is not None else 0,
        pending=(info.num_pending or 0) + (info.num_ack_pending or 0),
        first_sequence=first_sequence(stream),
        stream_created_at=microseconds_of(stream.created),
        read_model=_fed_by(info),
    )


async def stream_end(client: Client, name: str) -> tuple[int, int]:
    """Returns the sequence of the stream's last message, and when the stream was created (microseconds since 1970).

    Raises StartupRefused when the stream does not exist, and one of NATS_ERRORS.
    """
    stream = await _stream(client, name)
    return stream.state.last_seq, microseconds_of(stream.created)


async def delete_consumer(client: Client, plan: ConsumerPlan) -> None:
    """Deletes a consumer, if it exists. Raises one of NATS_ERRORS."""
    with contextlib.suppress(NotFoundError):
        await client.jetstream().delete_consumer(plan.stream, plan.name)


def plan_of(plan: ConsumerPlan, generation: str, tail: int | None = None) -> ConsumerPlan:
    """Returns the plan of a generation's consumer, given the plan of the first generation's."""
    if generation in ("", FIRST_GENERATION):
        return plan
    return replace(plan, name=f"{plan.name}-{generation}", rebuilt=True, tail=tail)


def missing_consumer(plan: ConsumerPlan) -> str:
    """Returns the message for a missing consumer."""
    return (
        f"the stream {plan.stream} has no consumer {plan.name}, or does not exist;"
        " run `python -m query_service migrate`"
    )


def silent_consumer(plan: ConsumerPlan) -> str:
    """Returns the message for a consumer that does not answer."""
    return (
        f"the stream {plan.stream} has no consumer {plan.name} that answers: in a cluster it may have no leader at"
        " present; if it does not exist, run `python -m query_service migrate`"
    )


def foreign_consumer(plan: ConsumerPlan) -> str:
    """Returns the message for a consumer of another read model."""
    return (
        f"the consumer {plan.name} of the stream {plan.stream} feeds another read model than the one in the read store;"
        " run `python -m query_service migrate` to replace it and project the stream from the start"
    )


def first_sequence(stream: StreamInfo) -> int:
    """Returns the sequence of the stream's first message; of the next one when the stream is empty."""
    return stream.state.first_seq if stream.state.messages else stream.state.last_seq + 1


def microseconds_of(moment: datetime | None) -> int:
    """Returns a time in microseconds since 1970; 0 for None."""
    return 0 if moment is None else int(moment.timestamp() * 1_000_000)


def _fed_by(info: ConsumerInfo) -> str:
    return (info.config.metadata or {}).get(READ_MODEL, "")


async def _stream(client: Client, name: str) -> StreamInfo:
    try:
        return await client.jetstream().stream_info(name)
    except NotFoundError:
        raise StartupRefused(
            f"the stream {name} does not exist; start the relay, which creates it, or set QUERY_STREAM"
        ) from None


async def _consumer(client: Client, plan: ConsumerPlan) -> ConsumerInfo | None:
    try:
        info: ConsumerInfo = await client.jetstream().consumer_info(plan.stream, plan.name)
    except NotFoundError:
        return None
    return info
