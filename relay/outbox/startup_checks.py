"""Checks that a server and the session on it are as the relay's guarantees need them. Each refusal says the cause."""

from __future__ import annotations

from relay.events.errors import Refused
from relay.outbox.database import DatabaseConnection, connect

OLDEST_POSTGRES = 15


async def check_database(connection: DatabaseConnection, url: str) -> None:
    """Raises Refused if the server is too old or not durable, or the session is not over TCP or not its own.

    A session is not our own if a pooler gives it to others too.
    """
    version = connection.info.server_version
    if version < OLDEST_POSTGRES * 10_000:
        raise Refused(f"Postgres is version {version // 10_000}, too old: run {OLDEST_POSTGRES} or later")
    row = await (
        await connection.execute(
            "SELECT current_setting('fsync'), reset_val, inet_client_addr() IS NOT NULL, pg_backend_pid()"
            " FROM pg_settings WHERE name = 'synchronous_commit'"
        )
    ).fetchone()
    assert row is not None
    fsync, synchronous_commit, over_tcp, backend = row
    if fsync != "on":
        raise Refused("fsync is off: a crash of the database could lose events that the stream has; set fsync = on")
    if synchronous_commit == "off":
        raise Refused(
            "synchronous_commit is off: a crash of the database could lose events that the stream has;"
            " set synchronous_commit = on"
        )
    await _check_settings_of_roles(connection)
    if not over_tcp:
        raise Refused("the relay reaches Postgres over a Unix socket, where a stopped leader is not noticed: use TCP")
    if backend != connection.info.backend_pid:
        await _check_pooler(connection, url)


async def _check_settings_of_roles(connection: DatabaseConnection) -> None:
    """Raises Refused if a role or a database has synchronous_commit off, which our own session does not show."""
    rows = await connection.execute(
        "SELECT coalesce('role ' || quote_ident(rolname), 'all roles')"
        " || coalesce(' in database ' || quote_ident(datname), '')"
        " FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole"
        " LEFT JOIN pg_database d ON d.oid = s.setdatabase"
        " WHERE EXISTS (SELECT FROM unnest(s.setconfig) AS entry WHERE split_part(entry, '=', 1) = 'synchronous_commit'"
        # each of these words means off, and the catalogue keeps the word as it was written
        " AND lower(split_part(entry, '=', 2)) IN ('off', 'false', 'no', '0'))"
        " AND (s.setdatabase = 0 OR d.datname = current_database()) LIMIT 1"
    )
    row = await rows.fetchone()
    if row is not None:
        raise Refused(
            f"synchronous_commit is off for {row[0]}: a crash of the database could lose events that the stream has;"
            " ALTER … RESET synchronous_commit"
        )


async def _check_pooler(connection: DatabaseConnection, url: str) -> None:
    """Raises Refused if the pooler between us and the server gives us a backend for one transaction only.

    Such a pooler would give the backend with our lock to others. To find out, a second session opens a transaction. If
    it gets the backend that we had before, or we get another one, the pooler is of that kind.
    """
    other = await connect(url, "tandem-relay pooler check")
    try:
        for _ in range(3):
            before = await _backend(connection)
            async with other.transaction():
                taken = await _backend(other)
                after = await _backend(connection)
            if before != after or before == taken:
                raise Refused(
                    "a pooler in transaction mode stands between the relay and Postgres, which would lend the leader's"
                    " lock to others: connect RELAY_DATABASE_URL to Postgres itself"
                )
    finally:
        await other.close()


async def _backend(connection: DatabaseConnection) -> int:
    row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    assert row is not None
    return int(row[0])
