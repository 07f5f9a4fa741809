"""Creates a missing stream, and refuses one that could lose or reorder events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.events.errors import Refused
from relay.events.subject import SubjectTemplate, takes
from relay.stream.jetstream_api import NO_STREAM, JetStreamApi, StreamApiError, StreamInfo

NANOSECONDS = 1_000_000_000
DUPLICATE_WINDOW_SECONDS = 60
OLDEST_SERVER = (2, 12, 1)
NO_CLUSTER = 10074
#: The cluster cannot create a stream now, because some of its servers are away: it has too few peers, or no leader.
_CLUSTER_NOT_WHOLE = frozenset({10004, 10005, 10008})


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """How the stream is created if it is missing, and which subjects it must accept."""

    name: str
    template: str
    barrier_subject: str
    max_age_seconds: int
    max_bytes: int
    create: bool
    replicas: int = 1

    @property
    def subjects(self) -> list[str]:
        """The wildcard subjects of a stream that we create."""
        filters = SubjectTemplate(self.template).filters
        return filters if any(takes(one, self.barrier_subject) for one in filters) else [*filters, self.barrier_subject]

    def configuration(self) -> dict[str, Any]:
        """Returns the configuration of a stream that we create, as the API expects it."""
        return {
            "name": self.name,
            "subjects": self.subjects,
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_age": self.max_age_seconds * NANOSECONDS,
            "max_bytes": self.max_bytes,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "max_consumers": -1,
            "num_replicas": self.replicas,
            "duplicate_window": min(DUPLICATE_WINDOW_SECONDS, self.max_age_seconds) * NANOSECONDS,
            "allow_atomic": True,
            "deny_delete": True,
            "deny_purge": True,
        }


Check = tuple[str, Callable[[Mapping[str, Any]], bool], str]

#: (what is wrong, the test whether it is, what to set). All these settings of a stream can be changed later, except
#: those marked "only by creating it anew".
_CHECKS: Sequence[Check] = (
    ("keeps its messages in memory", lambda c: c.get("storage") != "file", "storage file (only by creating it anew)"),
    ("does not keep messages by limits", lambda c: c.get("retention") != "limits", "retention limits"),
    ("discards old messages when it is full", lambda c: c.get("discard") != "new", "discard new"),
    ("has no atomic batches", lambda c: not c.get("allow_atomic"), "allow_atomic true"),
    ("lets messages be deleted", lambda c: not c.get("deny_delete"), "deny_delete true"),
    ("lets itself be purged", lambda c: not c.get("deny_purge"), "deny_purge true"),
    (
        "keeps so many messages per subject only",
        lambda c: c.get("max_msgs_per_subject", -1) > 0,
        "max_msgs_per_subject -1",
    ),
    ("acknowledges before it has written", lambda c: c.get("persist_mode") == "async", "persist_mode default"),
    ("sends no acks", lambda c: bool(c.get("no_ack")), "no_ack false"),
    ("is a mirror or has sources", lambda c: bool(c.get("mirror") or c.get("sources")), "no mirror and no sources"),
    ("changes subjects", lambda c: bool(c.get("subject_transform")), "no subject_transform"),
    ("is sealed", lambda c: bool(c.get("sealed")), "a stream that is not sealed"),
)


def require_server(version: tuple[int, int, int]) -> None:
    """Raises Refused for a server that is too old: its atomic batches do not detect duplicate message ids."""
    if version < OLDEST_SERVER:
        have, wanted = (".".join(map(str, one)) for one in (version, OLDEST_SERVER))
        raise Refused(f"the NATS server is version {have}, too old: install {wanted} or later")


def require_stream(plan: StreamPlan, config: Mapping[str, Any]) -> None:
    """Raises Refused for a stream that could lose or reorder events. The message names the first unfit setting."""
    for problem, wrong, remedy in _CHECKS:
        if wrong(config):
            raise Refused(f"stream {plan.name} {problem}: it must have {remedy}")
    subjects = config.get("subjects") or []
    for wanted in [*SubjectTemplate(plan.template).filters, plan.barrier_subject]:
        if not any(takes(subject, wanted) for subject in subjects):
            raise Refused(
                f"stream {plan.name} does not take subject {wanted}: add it to its subjects,"
                " or change RELAY_SUBJECT_TEMPLATE or RELAY_BARRIER_SUBJECT"
            )


def other_replicas(plan: StreamPlan, config: Mapping[str, Any]) -> str | None:
    """Returns a sentence about a stream with more or fewer replicas than planned; None if the number is right.

    The relay does not stop for that. The messages are right with any number of replicas, and lost ones can be published
    again from the outbox.
    """
    have = config.get("num_replicas", 1)
    if have == plan.replicas:
        return None
    return (
        f"stream {plan.name} has {have} replica{'' if have == 1 else 's'} and RELAY_STREAM_REPLICAS is {plan.replicas}:"
        f" change one of them (nats stream edit {plan.name} --replicas {plan.replicas})"
    )


async def ensure_stream(api: JetStreamApi, plan: StreamPlan) -> StreamInfo:
    """Returns the stream's state. Creates the stream if it is missing and the plan allows that.

    Raises Refused if the stream cannot be used or created. Raises StreamApiError while a cluster has too few servers to
    create it, or does not know it yet.
    """
    info = await api.stream_info(plan.name)
    if info is None:
        if not plan.create:
            raise Refused(f"stream {plan.name} does not exist: create it, or set RELAY_CREATE_STREAM=true")
        try:
            await api.create_stream(plan.configuration())
        except StreamApiError as error:
            if error.error_code in _CLUSTER_NOT_WHOLE:
                raise
            remedy = ": set RELAY_STREAM_REPLICAS=1, or run a cluster" if error.error_code == NO_CLUSTER else ""
            raise Refused(f"stream {plan.name} cannot be created: {error}{remedy}") from None
        info = await api.stream_info(plan.name)
        if info is None:  # in a cluster, the server that answers may not know the new stream yet
            raise StreamApiError(NO_STREAM, f"stream {plan.name} was created and is not there yet")
    require_stream(plan, info.config)
    return info
