"""A right that the relay's role lacks is named at the start with what grants it, and is no outage to be waited out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import psycopg
import pytest
import pytest_asyncio

from relay.adoption.parts import AdoptionCheck
from relay.config import RelaySettings
from relay.events.errors import Refused
from relay.leadership_parts import LeadershipCheck
from relay.outbox.leadership import AdvisoryLock
from tests.fixtures.postgres import database
from tests.support.relay import streams
from tests.support.relay.readme import least_role
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.world import World

OWNER = "; let its owner run: "


@dataclass(frozen=True, slots=True)
class Place:
    """A database with the README's tables and role."""

    url: str
    role: str
    role_url: str

    async def run(self, statements: str) -> None:
        """As the superuser; `$role` is the role."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(statements.replace("$role", self.role))

    async def refusal(self, mode: str, **settings: str) -> str:
        """What the check of a leader's session says; empty when nothing is missing."""
        return await self._refusal(LeadershipCheck(self._settings(mode=mode, **settings)))

    async def adoption_refusal(self) -> str:
        """The same for an adoption."""
        return await self._refusal(AdoptionCheck(self._settings(), False))

    def _settings(self, **given: str) -> RelaySettings:
        return RelaySettings.model_validate({"database_url": self.role_url, "nats_url": "nats://127.0.0.1:1", **given})

    async def _refusal(self, checks: LeadershipCheck | AdoptionCheck) -> str:
        async with await psycopg.AsyncConnection.connect(self.role_url, autocommit=True) as connection:
            try:
                await checks.check(connection)
            except Refused as refused:
                return str(refused)
        return ""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(postgres_url: str) -> AsyncIterator[Place]:
    """Each test leaves it as it found it."""
    async with database(postgres_url) as url, least_role(url) as (role, role_url):
        yield Place(url, role, role_url)


COLUMNS = "position, transaction_id, event_id, aggregate_type, aggregate_id, event_type, recorded_at"
REQUESTS = "CREATE TABLE relay_request (id bigint, stream text, done_at timestamptz)"
#: (what is done, modes in which it matters, the rights that are named).
CASES = [
    ("REVOKE SELECT ON outbox FROM $role", "poll wal", ["SELECT on table outbox"]),
    (f"REVOKE SELECT ON outbox FROM $role; GRANT SELECT ({COLUMNS}) ON outbox TO $role", "poll wal",
     ["SELECT on table outbox"]),
    ("REVOKE SELECT ON source FROM $role", "poll wal", ["SELECT on table source"]),
    ("REVOKE SELECT ON relay_state FROM $role", "poll", ["SELECT on table relay_state"]),
    ("REVOKE INSERT, UPDATE ON relay_state FROM $role", "poll", ["INSERT, UPDATE on table relay_state"]),
    ("REVOKE INSERT ON outbox_parked FROM $role", "poll", ["INSERT on table outbox_parked"]),
    ("DROP TABLE relay_state", "poll wal", ["CREATE on schema public (table relay_state is missing)"]),
    ("DROP TABLE outbox_parked", "poll", ["CREATE on schema public (table outbox_parked is missing)"]),
    (REQUESTS, "poll", ["DELETE on table outbox_parked", "SELECT, UPDATE on table relay_request"]),
    ("CREATE TABLE relay_adoption (stream text, source_epoch bigint, floor bigint, adopted_at timestamptz, published"
     " bigint, lost_events bigint, lost_aggregates bigint, lost jsonb)", "poll", ["SELECT on table relay_adoption"]),
    ("REVOKE USAGE ON SCHEMA public FROM PUBLIC", "poll wal", ["USAGE on schema public"]),
    ("ALTER TABLE outbox ENABLE ROW LEVEL SECURITY", "poll", ["BYPASSRLS (row-level security would hide rows"]),
    ("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC", "poll",
     ["EXECUTE on function pg_control_system()"]),
    ("ALTER ROLE $role NOREPLICATION", "wal", ["REPLICATION"]),
    ("DROP PUBLICATION tandem_outbox", "wal", ["the right to make publication tandem_outbox"]),
    ("REVOKE ALL ON outbox, source, relay_state FROM $role; ALTER ROLE $role NOREPLICATION; DROP TABLE outbox_parked;"
     " DROP PUBLICATION tandem_outbox", "wal",
     ["SELECT on table outbox", "SELECT on table source", "SELECT, INSERT, UPDATE on table relay_state",
      "CREATE on schema public", "REPLICATION", "publication tandem_outbox"]),
]  # fmt: skip
#: Puts right what no GRANT has made as it was.
AGAIN = """
ALTER TABLE outbox DISABLE ROW LEVEL SECURITY; ALTER ROLE $role NOBYPASSRLS;
DROP TABLE IF EXISTS relay_request, relay_adoption; REVOKE DELETE ON outbox_parked FROM $role;
REVOKE USAGE ON SCHEMA public FROM $role; GRANT USAGE ON SCHEMA public TO PUBLIC;
REVOKE EXECUTE ON FUNCTION pg_control_system() FROM $role; GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC;
"""


@pytest.mark.parametrize(("change", "modes", "rights"), CASES)
async def test_all_missing_rights_are_named_and_what_is_said_grants_them(
    place: Place, change: str, modes: str, rights: list[str]
) -> None:
    await place.run(change)
    try:
        for mode in modes.split():
            sentence = await place.refusal(mode)
            named, _, remedy = sentence.partition(OWNER)
            assert named.startswith(f"role {place.role} lacks "), sentence
            for right in rights:
                assert right in named, sentence
        await place.run(remedy)
        assert await place.refusal(mode) == ""
    finally:
        await place.run(AGAIN)
    assert await place.refusal("wal") == ""


@pytest.mark.parametrize(
    "change",
    [
        f"REVOKE SELECT ON outbox FROM $role; GRANT SELECT ({COLUMNS}, payload) ON outbox TO $role",
        "REVOKE SELECT ON source FROM $role; GRANT SELECT (epoch, system_identifier, timeline) ON source TO $role;"
        " ALTER TABLE source ADD COLUMN more text",
        "REVOKE SELECT ON outbox FROM $role; GRANT SELECT ON outbox TO PUBLIC",
        "REVOKE SELECT ON outbox FROM $role; GRANT pg_read_all_data TO $role",
        "CREATE TABLE private.source (epoch bigint); CREATE TABLE private.relay_request (id bigint)",
    ],
)
async def test_rights_that_do_are_not_refused(place: Place, change: str) -> None:
    await place.run("CREATE SCHEMA private")
    try:
        await place.run(change)
        assert await place.refusal("wal") == ""
    finally:
        await place.run(
            "DROP SCHEMA private CASCADE; REVOKE pg_read_all_data FROM $role; REVOKE SELECT ON outbox FROM PUBLIC;"
            " ALTER TABLE source DROP COLUMN IF EXISTS more; GRANT SELECT ON outbox, source TO $role"
        )


async def test_in_a_schema_that_the_role_may_not_use(place: Place) -> None:
    named = "USAGE on schema private, SELECT on table"
    database_name = place.url.rpartition("/")[2]
    await place.run("CREATE SCHEMA private; CREATE TABLE private.hidden (LIKE outbox INCLUDING ALL)")
    try:
        sentence = await place.refusal("poll", table="private.hidden")
        assert f"{named} private.hidden, CREATE on schema private (table private.relay_state" in sentence
        assert "table hidden does not exist" in await place.refusal("poll", table="hidden")
        await place.run(f"ALTER ROLE $role IN DATABASE {database_name} SET search_path = public, private")
        assert f"{named} hidden" in await place.refusal("poll", table="hidden")
    finally:
        await place.run(f"ALTER ROLE $role IN DATABASE {database_name} RESET ALL; DROP SCHEMA private CASCADE")


@pytest.mark.parametrize(
    ("change", "remedy", "named"),
    [
        (
            "REVOKE CONNECT ON DATABASE $database FROM PUBLIC",
            "GRANT CONNECT ON DATABASE $database TO PUBLIC",
            "CONNECT",
        ),
        ("ALTER ROLE $role NOLOGIN", "ALTER ROLE $role LOGIN", "LOGIN"),
    ],
)
async def test_who_may_not_come_in_at_all_is_told_so(place: Place, change: str, remedy: str, named: str) -> None:
    async def check(connection: psycopg.AsyncConnection[object]) -> None:
        """Does not come so far."""

    lock = AdvisoryLock(place.role_url, table="outbox", stream="S", check=check)
    database_name = place.url.rpartition("/")[2]
    await place.run(change.replace("$database", database_name))
    try:
        with pytest.raises(Refused, match=f"does not let the relay in: .*{named}"):
            async with lock.lead(asyncio.Event()):
                pass
    finally:
        await place.run(remedy.replace("$database", database_name))
    async with lock.lead(asyncio.Event()) as leader:
        assert leader is not None


async def test_an_adoption_says_what_it_needs_beside(place: Place) -> None:
    sentence = await place.adoption_refusal()
    assert f"role {place.role} lacks UPDATE on table outbox, UPDATE on table source; let its owner run: " in sentence


UNNAMED = """
import relay.leadership_parts as c
async def nothing(*a, **named): return ()
c.require_rights = nothing
"""
#: The mutant takes a missing right for an outage, as the first relays did.
WAITED_OUT = UNNAMED + "import psycopg\npsycopg.errors.InsufficientPrivilege = type('Never', (Exception,), {})"


async def says(relay: RelayProcess, text: str) -> str:
    """Waits until the relay's last error has that text; the error."""
    deadline = time.monotonic() + 120
    while True:
        assert relay.returncode is None, relay.text
        error = str((await relay.page())["last_error"])
        if text in error:
            return error
        assert time.monotonic() < deadline, f"{error}\n{relay.text}"
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("mode", ["poll", "wal"])
async def test_the_process_ends_and_says_it(
    postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str, mode: str
) -> None:
    async with least_role(postgres_database) as (role, url):
        world = World.on(url, nats_url, stream_name, subject_prefix)
        world.settings["RELAY_MODE"] = mode
        owner = Place(postgres_database, role, url)
        await owner.run("REVOKE SELECT ON source FROM $role")
        for prelude, sentence in (("", f"role {role} lacks SELECT on table source{OWNER}"), (UNNAMED, "source")):
            refused = world.relay(prelude=prelude)
            await refused.start()
            assert await refused.ended() == 2, refused.text
            # Nothing but JSON lines, for those who collect them.
            last = [json.loads(line) for line in refused.log][-1]
            assert (last["level"], last["event"]) == ("critical", "refused to start")
            assert sentence in last["reason"]
        async with running(world.relay(prelude=WAITED_OUT)) as mutant:
            await says(mutant, "broke off: permission denied")
            assert (await mutant.page())["state"] == "RETRYING"
    assert not [one for one in await streams.read_all(nats_url, stream_name) if one.is_event]


@pytest.mark.parametrize("mode", ["poll", "wal"])
async def test_one_that_is_taken_away_while_it_runs_is_named_until_it_is_back(
    postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str, mode: str
) -> None:
    async with least_role(postgres_database) as (role, url):
        world = World.on(url, nats_url, stream_name, subject_prefix)
        world.settings["RELAY_MODE"] = mode
        owner = Place(postgres_database, role, url)
        insert = (
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)"
            " VALUES ('basket', gen_random_uuid()::text, '{0}', '{{}}')"
        )
        async with running(world.relay()) as relay:
            await owner.run(insert.format("before"))
            await world.drained(relay)
            # An event that no subject takes is to be parked; where the log is read, that needs the first right.
            await owner.run("REVOKE SELECT ON outbox FROM $role; REVOKE INSERT ON outbox_parked FROM $role")
            await owner.run(insert.format("no subject"))
            sentence = await says(relay, f"role {role} lacks SELECT on table outbox, INSERT on table outbox_parked")
            assert (await relay.page())["state"] == "REFUSED"
            await owner.run(sentence.partition(OWNER)[2])
            await world.drained(relay)
            assert (await relay.page())["parked_aggregates"] == 1
            assert await relay.stop() == 0
        assert relay.text.count("max_slot_wal_keep_size is -1") == (mode == "wal")  # however often it was checked
    assert len([one for one in await world.messages() if one.is_event]) == 1
