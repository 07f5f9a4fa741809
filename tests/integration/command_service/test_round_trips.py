"""Round trips: a batch is sent at once, in parts if the socket is full, and each answer is for its own statement."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from psycopg.errors import AdminShutdown, DivisionByZero, UniqueViolation
from psycopg.pq import ExecStatus

from command_service.domain.states import OrderState
from command_service.storage.connection import arrays, message_writer
from command_service.storage.connection.command_connection import CommandConnection
from command_service.storage.connection.conversation import Conversation
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import OutOfStep, RoundTrip, _Ear
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import opened_pool
from tests.support.faults.rough_way import rough_way
from tests.support.source_mutants import Mutant, noticed

#: More than the socket buffers on both sides hold.
LARGE = 16_000_000
#: As large as an event may be.
EVENT = 900_000
PREPARED = "SELECT statement FROM pg_prepared_statements"


@asynccontextmanager
async def talking(url: str, answer_seconds: float = 60.0) -> AsyncIterator[Conversation]:
    async with opened_pool(url, size=1) as pool, pool.conversation(answer_seconds) as talk:
        yield talk


def give_up(talk: Conversation) -> None:
    """Ends a round trip in which a mutant waits for ever."""
    assert talk._trip is not None
    if not talk._trip.ended:
        talk._trip._end(OutOfStep("given up"))


async def check_answers_belong_to_their_questions(url: str) -> None:
    """Both when the server prepares the statements and when it has them."""
    async with talking(url) as talk:
        for number in range(3):
            questions: list[Statement] = [(f"SELECT $1 + {n}", (number,)) for n in range(9)]
            for last in range(1, 10):
                answer = await talk.run(questions[:last])
                assert answer.rows() == [(number + last - 1,)]
                assert [answer.before(places).row() for places in range(last)] == [
                    (number + asked,) for asked in reversed(range(last))
                ]


async def test_answers_belong_to_their_questions(command_database: str) -> None:
    await check_answers_belong_to_their_questions(command_database)


@pytest.mark.mutant
async def test_an_answer_given_to_the_next_statement_is_noticed(command_database: str) -> None:
    with noticed(Mutant(RoundTrip._take, "self._results.append(result)", "self._results = self._results or [result]")):
        await check_answers_belong_to_their_questions(command_database)


async def test_a_batch_is_sent_at_once(command_database: str) -> None:
    pieces: list[bytes] = []
    async with rough_way(command_database) as (way, url), talking(url) as talk:
        way.heard = pieces.append
        await talk.run([(f"SELECT {number}", ()) for number in range(9)])
    assert any(b"SELECT 0" in piece and b"SELECT 8" in piece for piece in pieces)


async def check_the_rest_is_sent_later(url: str, patience: float = 60.0) -> None:
    """The way to the server is blocked, takes a part of the batch, and is free again."""
    async with rough_way(url) as (way, through), talking(through) as talk:
        with socket.socket(fileno=os.dup(talk.connection.fileno())) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        way.fall_silent()
        asked = asyncio.create_task(talk.run([("SELECT length($1)", ("x" * EVENT,)), ("SELECT $1", ("end",))]))
        await asyncio.sleep(0)
        assert talk._trip is not None
        assert talk._trip._unsent, "the socket took everything"
        way.speak_again()
        try:
            assert (await asyncio.wait_for(asked, patience)).row() == ("end",)
        finally:
            give_up(talk)


async def test_what_a_full_socket_does_not_take_is_sent_later(command_database: str) -> None:
    await check_the_rest_is_sent_later(command_database)


@pytest.mark.mutant
async def test_a_flush_that_is_forgotten_is_noticed(command_database: str) -> None:
    with noticed(Mutant(RoundTrip.__init__, "if self._unsent:", "if False:"), or_raises=(TimeoutError,)):
        await check_the_rest_is_sent_later(command_database, patience=0.5)


async def check_both_sides_may_have_much_to_say(url: str, patience: float = 60.0) -> None:
    """The server does not read the second statement before somebody has read the answer to the first."""
    async with talking(url) as talk:
        batch: list[Statement] = [("SELECT repeat('x', $1::int)", (LARGE,)), ("SELECT length($1)", ("y" * LARGE,))]
        try:
            assert (await asyncio.wait_for(talk.run(batch), patience)).row() == (LARGE,)
        finally:
            give_up(talk)


async def test_both_sides_may_have_much_to_say(command_database: str) -> None:
    await check_both_sides_may_have_much_to_say(command_database)


@pytest.mark.mutant
async def test_a_round_trip_that_reads_only_when_all_is_sent_is_noticed(command_database: str) -> None:
    listen = "self._loop.add_reader(self._fileno, self._ear.hear)"
    with noticed(Mutant(RoundTrip.__init__, listen, f"self._unsent or {listen}"), or_raises=(TimeoutError,)):
        await check_both_sides_may_have_much_to_say(command_database, patience=1.0)


async def test_a_silence_while_a_part_is_unsent_breaks_the_connection(command_database: str) -> None:
    async with rough_way(command_database) as (way, url), talking(url, answer_seconds=0.4) as talk:
        way.fall_silent()
        with pytest.raises(psycopg.OperationalError):
            await talk.run([("SELECT length($1)", ("x" * LARGE,))])
        assert talk.connection.closed


async def check_the_first_error_is_raised(url: str) -> None:
    await execute(url, "CREATE TABLE seen (number integer)")
    batch: list[Statement] = [
        ("BEGIN", ()),
        ("INSERT INTO seen VALUES (1)", ()),
        ("SELECT 1 / $1", (0,)),
        ("SELECT '1' + 'x'", ()),
        ("COMMIT", ()),
    ]
    async with opened_pool(url, size=1) as pool:
        for _ in range(2):
            with pytest.raises(DivisionByZero) as refused:
                async with pool.conversation() as talk:
                    await talk.run(batch)
            assert refused.value.diag.message_primary == "division by zero"
    assert await execute(url, "SELECT count(*) FROM seen") == [(0,)]
    await execute(url, "DROP TABLE seen")


async def test_the_first_error_of_a_batch_is_raised_and_the_rest_skipped(command_database: str) -> None:
    await check_the_first_error_is_raised(command_database)


@pytest.mark.mutant
async def test_an_error_taken_for_success_is_noticed(command_database: str) -> None:
    error = "elif status == _ERROR:"
    taken = (
        f"elif status in ({ExecStatus.FATAL_ERROR:d}, {ExecStatus.PIPELINE_ABORTED:d}):\n        pass\n    elif False:"
    )
    with noticed(Mutant(RoundTrip._take, error, taken)):
        await check_the_first_error_is_raised(command_database)


async def check_an_error_of_the_commit_is_raised(url: str) -> None:
    """Outside of a transaction a statement is committed after its answer."""
    await execute(url, "CREATE TABLE late (number integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(UniqueViolation):
        async with talking(url) as talk:
            await talk.run([("INSERT INTO late VALUES (1), (1)", ())])
    assert not talk.connection.broken


async def test_an_error_of_the_commit_is_raised(command_database: str) -> None:
    await check_an_error_of_the_commit_is_raised(command_database)


@pytest.mark.mutant
async def test_a_commit_whose_error_nobody_awaits_is_noticed(command_database: str) -> None:
    awaited = "self._awaited.append(None)  #"
    with noticed(Mutant(RoundTrip.__init__, awaited, "#"), or_raises=(OutOfStep,)):
        await check_an_error_of_the_commit_is_raised(command_database)


async def check_what_ends_the_session_is_raised(url: str) -> None:
    with pytest.raises(AdminShutdown):
        async with talking(url) as talk:
            await talk.run([("SELECT pg_terminate_backend(pg_backend_pid())", ()), ("SELECT 1", ())])
    assert talk.connection.closed


async def test_what_ends_the_session_is_raised_and_not_its_end(command_database: str) -> None:
    await check_what_ends_the_session_is_raised(command_database)


@pytest.mark.mutant
async def test_an_end_that_hides_its_cause_is_noticed(command_database: str) -> None:
    with noticed(
        Mutant(RoundTrip._end, "self.error or error", "error or self.error"), or_raises=(psycopg.OperationalError,)
    ):
        await check_what_ends_the_session_is_raised(command_database)


async def test_a_value_that_cannot_be_sent_harms_nothing(command_database: str) -> None:
    async with talking(command_database) as talk:
        await talk.run([("BEGIN", ())])
        with pytest.raises(psycopg.ProgrammingError, match="cannot adapt"):
            await talk.run([("SELECT 1", ()), ("SELECT $1", (object(),))])
        assert (await talk.run([("SELECT $1", (1,))])).row() == (1,)


async def test_statements_beyond_the_limit_are_not_prepared(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_writer, "MOST_PREPARED", 2)
    texts = ["SELECT 0", "SELECT 1", "SELECT 2", "SELECT 3"]
    async with talking(command_database) as talk:
        for _ in range(2):
            # Twice in one batch: the server would refuse to prepare the same name again.
            assert (await talk.run([(sql, ()) for sql in [*texts, *texts]])).row() == (3,)
        assert sorted((await talk.run([(PREPARED, ())])).rows()) == [("SELECT 0",), ("SELECT 1",)]


async def test_a_lost_connection_is_told(command_database: str) -> None:
    async with opened_pool(command_database, size=1) as pool:
        async with pool.conversation() as talk:
            talk.hang_up()
            with pytest.raises(psycopg.OperationalError):
                await talk.run([("SELECT 1", ())])
        async with pool.conversation() as another:
            assert (await another.run([("SELECT 1", ())])).row() == (1,)
        closed: CommandConnection = talk.connection
        with pytest.raises(psycopg.Error):
            await closed.run([("SELECT 1", ())])


async def check_an_idle_connection_is_not_heard(url: str, patience: float = 60.0) -> None:
    """What the server says to an idle connection is heard once, and stays for the pool to find."""
    async with opened_pool(url, size=1) as pool:
        async with pool.conversation() as talk:
            (pid,) = (await talk.run([("SELECT pg_backend_pid()", ())])).row() or ("unknown",)
            connection = talk.connection
        await execute(url, f"SELECT pg_terminate_backend({pid})")
        async with asyncio.timeout(patience):
            while not connection.spoken_to:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # the event loop has looked at its sockets once more
        await asyncio.sleep(0)
        assert not asyncio.get_running_loop().remove_reader(connection.fileno())
        async with pool.conversation() as talk:
            assert talk.connection is not connection


async def test_an_idle_connection_is_not_heard(command_database: str) -> None:
    await check_an_idle_connection_is_not_heard(command_database)


@pytest.mark.mutant
async def test_an_ear_that_never_leaves_is_noticed(command_database: str) -> None:
    with noticed(Mutant(_Ear.hear, "self._loop.remove_reader(self._fileno)", "pass")):
        await check_an_idle_connection_is_not_heard(command_database)


async def check_an_ended_round_trip_is_let_go(url: str) -> None:
    """Its answer may be large, and the connection may be idle for long."""
    async with talking(url) as talk:
        await talk.run([("SELECT 1", ())])
        trip = weakref.ref(talk._trip)
        talk._trip = None
        gc.collect()
        assert trip() is None


async def test_an_ended_round_trip_is_let_go(command_database: str) -> None:
    await check_an_ended_round_trip_is_let_go(command_database)


@pytest.mark.mutant
async def test_an_ear_that_keeps_its_round_trip_is_noticed(command_database: str) -> None:
    with noticed(Mutant(_Ear.close, "self._on_data = None", "pass")):
        await check_an_ended_round_trip_is_let_go(command_database)


async def check_arrays_arrive(url: str) -> None:
    texts = ["a", "", 'q"uote', "back\\slash", "NULL", "null", "{x,y}", "two words", " ", "new\nline", "語🍵", None]
    ids, numbers = [uuid4(), None], [1, -(2**62), None]
    moments = [datetime(2026, 5, 1, 8, 30, 0, 123_457, tzinfo=UTC), None]
    async with talking(url) as talk:
        asked = "SELECT $1::text[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::boolean[], $6::text[]"
        answer = await talk.run([(asked, (texts, ids, numbers, moments, [True, False], []))])
        assert answer.row() == (texts, ids, numbers, moments, [True, False], [])


async def test_arrays_arrive(command_database: str) -> None:
    await check_arrays_arrive(command_database)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('\'"\' in text or "\\\\" in text', "False"),
        ("return f'\"{text}\"'", "return text"),
        ('and text.upper() != "NULL"', ""),
    ],
)
async def test_a_text_that_is_not_quoted_is_noticed(command_database: str, old: str, new: str) -> None:
    with noticed(Mutant(arrays._quoted, old, new), or_raises=(psycopg.Error,)):
        await check_arrays_arrive(command_database)


@pytest.mark.parametrize("wrong", ["nul\0", b"bytes", OrderState.PAID])
async def test_what_no_array_has_is_refused(command_database: str, wrong: object) -> None:
    async with talking(command_database) as talk:
        with pytest.raises(psycopg.DataError):
            await talk.run([("SELECT $1::text[]", ([wrong],))])
        assert (await talk.run([("SELECT 1", ())])).row() == (1,)
