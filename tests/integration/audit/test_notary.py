"""The notary on real servers: the same tree through kills and refills, and no signature on a log that was changed."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import pytest_asyncio

from audit.leaves.leaf import Leaf, epoch_leaf, event_leaf
from audit.leaves.stream_message import StreamMessage, recorded_events
from audit.notary.log_writer import MOST_UNWRITTEN, LogWriter
from audit.notary.notary import Notary
from audit.notary.signing import CheckpointSigner, LogBroken, require_continuation
from audit.notary.stream_reader import StreamReader
from audit.storage.session import answered_within
from audit.storage.tree_nodes import MissingNode, TreeNodes
from audit.tree.proofs import consistent, includes
from tests.fixtures.private_servers import PrivateNats
from tests.fixtures.write_model import execute
from tests.support.audit_events import EventWriter, barrier, message_of
from tests.support.audit_world import AuditProcess, AuditWorld, root_of
from tests.support.chance import new_seed
from tests.support.faults.delaying_proxy import DelayingProxy
from tests.support.source_mutants import Mutant, noticed
from tests.support.waiting import eventually


@pytest_asyncio.fixture(loop_scope="session")
async def log(postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str) -> AuditWorld:
    """An empty log and an empty stream."""
    return await AuditWorld.make(postgres_database, nats_url, stream_name, subject_prefix)


def history(orders: int, versions: int) -> list[StreamMessage]:
    """Events of some orders, in turn."""
    writer = EventWriter()
    return [
        message_of(writer.event(order), version * orders + order)
        for version in range(versions)
        for order in range(orders)
    ]


def expected(messages: list[StreamMessage]) -> list[Leaf]:
    """The leaves of valid messages of the first epoch."""
    found = [epoch_leaf(1)]
    for one in messages:
        event = next(recorded_events(one))
        found.append(event_leaf(event.event_id, event.order_id, event.version, event.hash))
    return found


async def test_each_event_is_a_leaf_in_stream_order_and_is_proved(log: AuditWorld) -> None:
    messages = history(200, 3)
    await log.publish([barrier(1), *messages, barrier(2)])
    async with log.writing():
        checkpoint = await log.until_signed(601)
    leaves = await log.leaves()
    assert leaves == expected(messages)
    assert (checkpoint.size, checkpoint.root) == (601, root_of(leaves))
    async with log.database() as connection:
        nodes = TreeNodes(connection)
        for index in (0, 255, 256, 600):
            proof = await nodes.inclusion(index, 601)
            assert includes(checkpoint.root, 601, index, leaves[index].hash, proof)
        for old in (1, 255, 256, 257, 512, 600, 601):
            proof = await nodes.consistency(old, 601)
            assert consistent(root_of(leaves[:old]), old, checkpoint.root, 601, proof)


async def killed_it_writes_the_same_log(log: AuditWorld, directory: Path, orders: int, kills: list[int]) -> None:
    """Kills a notary whenever the log has one of these sizes; the log is then what the messages say."""
    messages = history(orders, 3)
    await log.publish(messages)
    (directory / "key").write_text(log.key.text)
    for size in kills:
        notary = AuditProcess(
            "notary",
            database_url=log.database_url,
            nats_url=log.nats_url,
            stream=log.stream,
            origin=log.key.name,
            key_file=directory / "key",
            batch_events=7,
        )
        await notary.start()
        await log.until_size(size)
        await notary.end()
    async with log.writing():
        checkpoint = await log.until_signed(3 * orders + 1)
    assert await log.leaves() == expected(messages)
    assert checkpoint.root == root_of(expected(messages))


async def test_killed_at_any_time_it_writes_the_same_log(log: AuditWorld, tmp_path: Path) -> None:
    await killed_it_writes_the_same_log(log, tmp_path, 200, [1, 300])


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_killed_thirty_times_it_writes_the_same_log(log: AuditWorld, tmp_path: Path) -> None:
    chance = random.Random(new_seed())
    sizes = sorted(chance.randrange(1, 9_000) for _ in range(30))
    await killed_it_writes_the_same_log(log, tmp_path, 3_333, sizes)


async def test_a_refill_of_the_stream_adds_nothing(log: AuditWorld) -> None:
    messages = history(20, 3)
    await log.publish(messages[:40])
    async with log.writing():
        await log.until_size(41)
    await log.refill(messages)
    async with log.writing():
        await log.until_size(61)
    assert await log.leaves() == expected(messages)


async def test_an_adopted_source_begins_an_epoch_and_its_events_follow(log: AuditWorld) -> None:
    writer = EventWriter()
    first = writer.event(1)
    lost = EventWriter("lost", dict(writer.heads)).event(1)
    second = writer.event(1)
    await log.publish([message_of(first, 1), message_of(lost, 2), barrier(3, 2), message_of(second, 4, 2)])
    async with log.writing():
        await log.until_size(5)
    leaves = await log.leaves()
    assert [leaf.kind.value for leaf in leaves] == ["epoch", "event", "event", "epoch", "event"]
    assert [leaf.epoch for leaf in leaves if leaf.epoch] == [1, 2]


async def test_what_is_forged_in_the_stream_is_evidence_in_the_log(log: AuditWorld) -> None:
    writer = EventWriter()
    good = message_of(writer.event(1), 1)
    forged = message_of(writer.event(1), 2, ce_type="ORDER_SHIPPED")
    rewritten = message_of(EventWriter().event(1, payload='{"total": 100}'), 3)
    await log.publish([good, forged, rewritten])
    async with log.writing():
        await log.until_size(4)
    await log.refill([good, forged, rewritten, message_of(EventWriter().event(2), 4)])
    async with log.writing():
        await log.until_size(5)
    assert [leaf.kind.value for leaf in await log.leaves()] == ["epoch", "event", "refused", "refused", "event"]


async def test_a_consumer_that_the_server_forgot_is_made_anew(log: AuditWorld) -> None:
    messages = history(10, 2)
    await log.publish(messages[:10])
    async with log.writing():
        await log.until_size(11)
        await log.forget_consumers()
        await log.publish(messages[10:])
        await log.until_size(21)
    assert await log.leaves() == expected(messages)


async def test_it_goes_on_after_outages_of_nats_and_of_the_database(
    postgres_database: str, private_nats: PrivateNats
) -> None:
    server = await private_nats()
    log = await AuditWorld.make(postgres_database, server.url, "ORDERS", "orders")
    messages = history(10, 3)
    await log.publish(messages[:10])
    async with log.writing():
        await log.until_size(11)
        await server.kill()
        await server.start()
        await log.publish(messages[10:20])
        await log.until_size(21)
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tandem-audit-notary'"
        ended += " AND datname = current_database()"
        assert await execute(log.database_url, ended) == [(True,)]
        await log.publish(messages[20:])
        await log.until_size(31)
    assert await log.leaves() == expected(messages)


async def test_a_second_notary_stands_by(log: AuditWorld) -> None:
    messages = history(10, 2)
    async with log.writing() as first, log.writing() as second:
        await log.publish(messages[:10])
        await log.until_size(11)
        await eventually(lambda: first.problem is None and second.problem is None, "both are well")
        await log.publish(messages[10:])
        await log.until_size(21)
    assert await log.leaves() == expected(messages)


#: What somebody with all rights does to a log of 31 leaves, and what the notary says then.
CHANGES = {
    "UPDATE audit_leaf SET leaf_hash = sha256(leaf_hash) WHERE leaf_index = 30": "were changed",
    "DELETE FROM audit_leaf WHERE leaf_index >= 20": "leaves were removed",
    "DELETE FROM audit_leaf WHERE leaf_index = 3": "lack the hashes from leaf 3 on",
    "UPDATE audit_checkpoint SET note = replace(note, '31', '32')": "wrong signature",
    "UPDATE audit_checkpoint SET size = 30": "is of 31 leaves",
}


async def no_signature_on_a_changed_log(log: AuditWorld) -> None:
    """After each change of the tables the notary refuses to sign."""
    signer = CheckpointSigner(log.key, every_seconds=0, clock=time.monotonic)
    more = message_of(EventWriter("more").event(99), 99)
    async with log.database() as connection:
        for change, reason in CHANGES.items():
            with pytest.raises(LogBroken, match=reason):  # noqa: PT012 - the transaction is rolled back by the error
                async with connection.transaction():
                    await connection.execute(change.encode())
                    try:
                        writer = await LogWriter.open(connection, log.stream)
                        await writer.append([more], 1)
                        await signer.sign_if_due(connection, writer)
                    except MissingNode as missing:
                        raise LogBroken(str(missing)) from None
                    raise psycopg.Rollback


async def a_quiet_stream_loses_nothing(log: AuditWorld) -> None:
    """After the last event come barriers only, until the stream keeps neither that event nor the first barriers."""
    await log.publish(history(1, 1))
    async with log.database() as connection:
        writer = await LogWriter.open(connection, log.stream)
        barriers = [barrier(number) for number in range(2, MOST_UNWRITTEN + 2)]
        for messages in ([*history(1, 1)], barriers[:-1], barriers[-1:]):
            await writer.append(messages, await log.created_at())
        position = await (await LogWriter.open(connection, log.stream)).position()
    await log.publish(barriers)
    await log.forget_messages(before=MOST_UNWRITTEN + 1)
    async with log.client() as client:
        assert (await StreamReader(client, log.stream).open(position)).lost == 0


async def test_barriers_that_leave_the_stream_are_not_lost(log: AuditWorld) -> None:
    await a_quiet_stream_loses_nothing(log)


@pytest.mark.mutant
async def test_a_position_that_waits_for_the_next_event_is_noticed(log: AuditWorld) -> None:
    with noticed(Mutant(LogWriter.append, " or self._unwritten >= MOST_UNWRITTEN", "")):
        await a_quiet_stream_loses_nothing(log)


def counted(notary: Notary) -> float | None:
    """The messages that the notary counts as lost."""
    return notary.metrics.registry.get_sample_value("audit_lost_messages_total")


async def lost_messages_count_once(log: AuditWorld) -> None:
    """Messages leave the stream while no notary runs, and two notaries begin after that, before more is published."""
    messages = history(10, 2)
    await log.publish(messages[:10])
    async with log.writing():
        await log.until_size(11)
    await log.publish(messages[10:])
    await log.forget_messages(before=21)
    for lost in (10, 0):
        async with log.writing() as notary:
            await eventually(lambda: notary.problem is None, "it writes the log")
            assert counted(notary) == lost


async def test_lost_messages_count_once(log: AuditWorld) -> None:
    await lost_messages_count_once(log)


@pytest.mark.mutant
async def test_a_notary_that_forgets_what_is_lost_is_noticed(log: AuditWorld) -> None:
    with noticed(Mutant(LogWriter.pass_over, "await position.write(self._connection, self._stream, reached)", "pass")):
        await lost_messages_count_once(log)


async def a_silent_database_is_told_of(log: AuditWorld, patience: float = 180.0) -> None:
    """The database stops answering on open connections, and then answers on new ones."""
    target = urlsplit(log.database_url)
    await log.publish(history(1, 1))
    async with DelayingProxy(f"{target.hostname}:{target.port}", random.Random(1)).running() as proxy:
        far = target._replace(netloc=f"{target.netloc.rpartition('@')[0]}@{proxy.address}").geturl()
        async with replace(log, database_url=far).writing(answer_seconds=0.5) as notary:
            await log.until_signed(2)
            proxy.most = 1e9
            await log.publish([message_of(EventWriter("more").event(99), 99)])
            try:
                await eventually(lambda: "has not answered" in (notary.problem or ""), "it says so", patience)
            finally:
                proxy.most = 0
                proxy.cut()
            await log.until_signed(3)
            await eventually(lambda: notary.problem is None, "it writes again")


async def test_a_database_that_stops_answering_is_left_and_told_of(log: AuditWorld) -> None:
    await a_silent_database_is_told_of(log)


@pytest.mark.mutant
async def test_a_notary_that_waits_for_ever_is_noticed(log: AuditWorld) -> None:
    with noticed(Mutant(answered_within, "call_later(seconds,", "call_later(3600,")):
        await a_silent_database_is_told_of(log, patience=2)


async def signed_log(log: AuditWorld) -> None:
    """A log of 31 leaves with a signed checkpoint."""
    await log.publish(history(30, 1))
    async with log.writing():
        await log.until_signed(31)


async def test_a_changed_log_is_not_signed(log: AuditWorld) -> None:
    await signed_log(log)
    await no_signature_on_a_changed_log(log)
    await execute(log.database_url, next(iter(CHANGES)))
    await log.publish([message_of(EventWriter("more").event(99), 1)])
    async with log.writing() as notary:
        await eventually(lambda: "were changed" in (notary.problem or ""), "it says that leaves were changed")
    assert len(await log.leaves()) == 31


@pytest.mark.mutant
async def test_a_checkpoint_without_a_proof_is_noticed(log: AuditWorld) -> None:
    await signed_log(log)
    with noticed(Mutant(require_continuation, "if not last.size:", "if True:")):
        await no_signature_on_a_changed_log(log)
