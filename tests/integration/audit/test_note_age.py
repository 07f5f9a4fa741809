"""An event is in a signed note ten seconds after its publication. The clock is the test's, so nothing waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_asyncio

from audit.config import AuditSettings
from audit.notary.log_writer import LogWriter
from audit.notary.notary import READ_SECONDS
from audit.notary.signing import CheckpointSigner
from tests.support.audit_events import EventWriter, message_of
from tests.support.audit_world import AuditWorld

#: Seconds, as docs/operations/audit.md promises. A part of them is for servers that take a while to answer.
PROMISED, FOR_SERVERS = 10.0, 0.5


@pytest_asyncio.fixture(loop_scope="session")
async def log(postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str) -> AuditWorld:
    """An empty log."""
    return await AuditWorld.over(postgres_database, nats_url, stream_name, subject_prefix)


def worst_looks(settings: AuditSettings) -> Iterator[float]:
    """When a notary looks whether a note is due: as seldom as it may, and always just before one is."""
    longest = READ_SECONDS + settings.linger_seconds
    at = 0.0
    yield at
    for _ in range(3):
        due = at + settings.checkpoint_seconds
        while at + longest < due:
            at += longest
            yield at
        yield due - 0.001
        at = due - 0.001 + longest
        yield at


async def ages_of_noted_events(log: AuditWorld, settings: AuditSettings) -> list[float]:
    """The age of the oldest event without a note, in seconds, whenever a note is signed.

    Each event is published right after a look, so that the next one finds it.
    """
    looks = list(worst_looks(settings))
    now, published, ages = looks[0], list[float](), list[float]()
    signer = CheckpointSigner(log.key, every_seconds=settings.checkpoint_seconds, clock=lambda: now)
    events = EventWriter()
    async with log.database() as connection:
        writer = await LogWriter.open(connection, log.stream)
        for number, look in enumerate(looks):
            published.append(now)
            now = look
            await writer.append([message_of(events.event(number), number + 1)], 1)
            if await signer.sign_if_due(connection, writer) is not None:
                assert (await log.signed()).size == writer.size
                ages.append(now - published[0])
                published.clear()
    assert len(ages) == 1 + 3
    return ages


async def every_event_is_noted_in_time(log: AuditWorld, **changed: float) -> None:
    """With the settings as they are when nobody sets them, or with others."""
    given: dict[str, Any] = {"database_url": log.database_url, **changed}
    assert max(await ages_of_noted_events(log, AuditSettings(**given))) <= PROMISED - FOR_SERVERS


async def test_an_event_is_in_a_note_within_ten_seconds(log: AuditWorld) -> None:
    await every_event_is_noted_in_time(log)


@pytest.mark.mutant
async def test_a_note_that_is_due_after_ten_seconds_is_noticed(log: AuditWorld) -> None:
    with pytest.raises(AssertionError, match=r"11\.49"):
        await every_event_is_noted_in_time(log, checkpoint_seconds=PROMISED)
