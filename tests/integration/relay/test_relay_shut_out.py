"""A relay whose user is not let in, or lacks a right in NATS, says so by name, and waits for no outage to end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from devstack.cli.stream.connection import ask_for_life
from devstack.servers import NatsServer, PostgresServer
from query_service.handlers.nats_connection import connect_nats
from relay.events.errors import Refused, SessionClosed
from relay.preflight import preflight
from relay.stream.access import nats_options, stream_sink
from relay.stream.history import StreamHistory
from tests.fixtures.postgres import database
from tests.fixtures.private_servers import PrivateNats, PrivatePostgres
from tests.support.relay import streams
from tests.support.relay.readme import block
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.world import World

HBA = """
host all turned_away all reject
host all unknown_here all ident
host all with_password all scram-sha-256
host all postgres all trust
host all nobody all trust
"""
ROLES = "CREATE ROLE with_password LOGIN SUPERUSER PASSWORD 'secret'; CREATE ROLE turned_away LOGIN"
#: (user, password, database) -> what the server says.
AT_THE_DOOR: Mapping[tuple[str, str, str], str] = {
    ("with_password", "wrong", ""): 'password authentication failed for user "with_password"',
    ("with_password", "", ""): "no password supplied",
    ("turned_away", "", ""): "pg_hba.conf rejects connection",
    ("unlisted", "", ""): "no pg_hba.conf entry for host",
    ("unknown_here", "", ""): 'Ident authentication failed for user "unknown_here"',
    ("nobody", "", ""): 'role "nobody" does not exist',
    ("postgres", "", "nowhere"): 'database "nowhere" does not exist',
}


#: The mutant takes whoever turns it away for an outage, as the relays before did.
WAITED_FOR = "import relay.outbox.database as d\nd.refusal = lambda error: None"


async def with_doors(private_postgres: PrivatePostgres) -> PostgresServer:
    """A server that asks who is there."""
    server = await private_postgres()
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        await connection.execute(ROLES)
        (server.data / "pg_hba.conf").write_text(HBA)
        await connection.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(60):
        while not await _turned_away(url(server, "turned_away", "", "postgres")):
            await asyncio.sleep(0.02)
    return server


async def _turned_away(database_url: str) -> bool:
    try:
        async with await psycopg.AsyncConnection.connect(database_url):
            return False
    except psycopg.OperationalError:
        return True


def url(server: PostgresServer, user: str, password: str, name: str) -> str:
    """How that user comes to that database."""
    secret = f":{quote(password)}" if password else ""
    return f"postgresql://{user}{secret}@127.0.0.1:{server.port}/{name}"


async def test_who_the_database_does_not_let_in_is_told_and_the_process_ends(
    private_postgres: PrivatePostgres, nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    server = await with_doors(private_postgres)
    async with database(server.url) as own:
        name = urlsplit(own).path[1:]
        world = await World.make(own, nats_url, stream_name, subject_prefix)
        for (user, password, other), said in AT_THE_DOOR.items():
            found = await preflight(world.configured(database_url=url(server, user, password, other or name)))
            assert found.exit_code == 2, found
            assert found.problems[0].startswith("the database does not let the relay in: "), found
            assert said in found.problems[0], found
            assert "secret" not in found.problems[0]
        refused = world.relay(database_url=url(server, "with_password", "wrong", name))
        await refused.start()
        assert await refused.ended() == 2, refused.text
        last = [json.loads(line) for line in refused.log][-1]
        assert (last["level"], last["event"]) == ("critical", "refused to start")
        assert last["reason"].startswith("the database does not let the relay in: password authentication failed")
        mutant = world.relay(prelude=WAITED_FOR, database_url=url(server, "with_password", "wrong", name))
        async with running(mutant):
            await in_state(mutant, "RETRYING", "broke off: connection failed: ")
        # Taken away while it runs: it stays, says so, and goes on once it is let in again.
        async with running(world.relay(database_url=url(server, "with_password", "secret", name))) as relay:
            await world.insert(1)
            await world.drained(relay)
            async with await psycopg.AsyncConnection.connect(own, autocommit=True) as connection:
                await connection.execute("ALTER ROLE with_password PASSWORD 'other'")
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'with_password'"
                )
                await in_state(relay, "REFUSED", 'password authentication failed for user "with_password"')
                await connection.execute("ALTER ROLE with_password PASSWORD 'secret'")
            await world.insert(1)
            await world.drained(relay)
        assert len(await world.events()) == 2


async def in_state(relay: RelayProcess, state: str, reason: str) -> None:
    """Waits until the relay says both at once: while it asks again, it says otherwise for a moment."""
    async with asyncio.timeout(120):
        while (page := await relay.page())["state"] != state or reason not in str(page["last_error"]):
            assert relay.returncode is None, relay.text
            await asyncio.sleep(0.05)


RIGHTS = block("nats")
USERS = """
accounts {
  shop { jetstream: enabled, users: [
    {user: least, password: p, permissions: {%s}}
    {user: free, password: p}
    {user: "od/d@", password: "p:w,%%40"}
    {user: no_events, password: p, permissions: {publish: {deny: "shop.basket.>"}}}
    {user: no_barriers, password: p, permissions: {publish: {deny: "shop.barrier"}}}
    {user: no_state, password: p, permissions: {publish: {deny: "$JS.API.STREAM.INFO.*"}}}
    {user: no_creating, password: p, permissions: {publish: {deny: "$JS.API.STREAM.CREATE.*"}}}
    {user: no_end, password: p, permissions: {publish: {deny: "$JS.API.STREAM.MSG.GET.*"}}}
    {user: no_answers, password: p, permissions: {subscribe: {deny: "_INBOX.>"}}}
  ] }
  poor { users: [ {user: no_jetstream, password: p} ] }
}
"""
#: user:password -> what is said of it.
IN_NATS: Mapping[str, str] = {
    "least:wrong": "NATS does not let the relay in: nats: 'Authorization Violation'",
    "stranger:p": "NATS does not let the relay in: nats: 'Authorization Violation'",
    "": "NATS does not let the relay in: nats: 'Authorization Violation'",
    "no_state:p": "does not let the relay's user publish to $JS.API.STREAM.INFO.SHOP",
    "no_creating:p": "does not let the relay's user publish to $JS.API.STREAM.CREATE.SHOP",
    "no_end:p": "does not let the relay's user publish to $JS.API.STREAM.MSG.GET.SHOP",
    "no_answers:p": "does not let the relay's user subscribe to _INBOX.>",
    "no_jetstream:p": "account of the relay's NATS user has no JetStream",
    "no_barriers:p": "does not let the relay's user publish to shop.barrier",
}


def shop(server: NatsServer, user: str, database_url: str) -> World:
    """The README's shop, with that user of NATS."""
    at = f"{user}@" if user else ""
    world = World.on(database_url, f"nats://{at}127.0.0.1:{server.port}", "SHOP", "shop")
    world.settings["RELAY_SUBJECT_TEMPLATE"] = "shop.{aggregate_type}.{event_type}"
    return world


async def test_who_lacks_a_right_in_nats_is_told_which(
    private_nats: PrivateNats, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await private_nats(more=USERS % RIGHTS)
    await World.make(postgres_database, server.url, "SHOP", "shop", block("ddl"))
    with pytest.raises(Refused, match=re.escape(IN_NATS["no_creating:p"])):
        await _begin(shop(server, "no_creating:p", postgres_database))
    await _begin(shop(server, "free:p", postgres_database))  # which makes the stream for the others
    async with streams.client(f"nats://free:p@127.0.0.1:{server.port}") as connection:
        await connection.publish("shop.stranger", b"", reply="x")  # so that there is an end to be read
        await connection.flush()
    for user, said in IN_NATS.items():
        if user in ("no_barriers:p", "no_creating:p"):
            continue
        with pytest.raises(Refused, match=re.escape(said)):
            await _begin(shop(server, user, postgres_database))
    for guard, user in (("_SHUT_OUT", "least:wrong"), ("_DENIED", "no_state:p")):
        with monkeypatch.context() as mutant:
            mutant.setattr(f"relay.stream.nats_connection.{guard}", re.compile("(?!)"))
            with pytest.raises(SessionClosed):
                await _begin(shop(server, user, postgres_database))
    odd = f"{quote('od/d@', safe='')}:{quote('p:w,%40', safe='')}"
    await _begin(shop(server, odd, postgres_database))
    async with asyncio.timeout(60):
        await (await connect_nats(shop(server, odd, "").nats_url, "test")).close()
        await ask_for_life(shop(server, odd, "").nats_url)
    history = StreamHistory(nats_options(shop(server, "least:p", postgres_database).configured()), "SHOP")
    assert [len(chunk) async for chunk in history.headers()] == [1]
    refused = shop(server, "no_barriers:p", postgres_database).relay()
    await refused.start()
    assert await refused.ended() == 2, refused.text
    assert IN_NATS["no_barriers:p"] in json.loads(refused.log[-1])["reason"]


async def _begin(world: World) -> None:
    async with stream_sink(world.configured(), lambda flight: None).session():
        pass


async def test_a_right_in_nats_that_is_taken_away_is_named_until_it_is_back(
    private_nats: PrivateNats, postgres_database: str
) -> None:
    server = await private_nats(more=USERS % RIGHTS)
    configuration = server.home / "nats.conf"
    allowed = configuration.read_text()
    await World.make(postgres_database, server.url, "SHOP", "shop", block("ddl"))
    world = shop(server, "least:p", postgres_database)
    insert = (
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) VALUES ('basket', 'B', 'Filled', '{}')"
    )

    async def reload(text: str) -> None:
        configuration.write_text(text)
        os.kill(server.pid, signal.SIGHUP)

    async with (
        running(world.relay()) as relay,
        await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection,
    ):
        await connection.execute(insert)
        await world.drained(relay)
        await reload(allowed.replace('"shop.>"', '"shop.barrier"'))
        await connection.execute(insert)
        await in_state(relay, "REFUSED", "does not let the relay's user publish to shop.basket.Filled")
        await reload(allowed)
        await world.drained(relay)
        await reload(allowed.replace("user: least", "user: other"))
        await in_state(relay, "REFUSED", "NATS does not let the relay in: nats: 'Authorization Violation'")
        await reload(allowed)
        await world.drained(relay)
    stored = await streams.read_all(f"nats://free:p@127.0.0.1:{server.port}", "SHOP")
    assert len([one for one in stored if one.is_event]) == 2
