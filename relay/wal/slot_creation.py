"""Creates a slot, and the checkpoint at its beginning, from which the log is read."""

from __future__ import annotations

import psycopg
from psycopg import sql

from relay.events.cursor import WalCheckpoint
from relay.events.errors import LogUnavailable
from relay.events.lsn import parse_lsn
from relay.events.snapshot import Snapshot
from relay.outbox.database import DatabaseConnection
from relay.outbox.publication import ensure_publication
from relay.outbox.table import TableName
from relay.wal.replication_connection import ReplicationConnection
from relay.wal.slot import new_slot_name


async def check_log(connection: DatabaseConnection) -> None:
    """Raises LogUnavailable if the server does not allow reading the log, or if the log could show lost commits."""
    row = await (
        await connection.execute(
            "SELECT current_setting('wal_level'), current_setting('synchronous_standby_names'),"
            " current_setting('synchronized_standby_slots', true),"
            " (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user),"
            " quote_ident(current_user),"
            " (SELECT min(oid::regprocedure::text) FROM pg_proc WHERE proname = 'pg_logical_emit_message'"
            " AND pronamespace = 'pg_catalog'::regnamespace AND NOT has_function_privilege(oid, 'EXECUTE'))"
        )
    ).fetchone()
    assert row is not None
    wal_level, standbys, synchronized, may_replicate, role, function = row
    if wal_level != "logical":
        raise LogUnavailable(f"wal_level is {wal_level}: set wal_level = logical and restart the server")
    if not may_replicate:
        raise LogUnavailable(f"role {role} may not replicate: ALTER ROLE {role} REPLICATION")
    if function is not None:
        raise LogUnavailable(f"role {role} may not execute {function}: GRANT EXECUTE ON FUNCTION {function} TO {role}")
    if standbys:
        await _check_standbys(connection, synchronized)


async def _check_standbys(connection: DatabaseConnection, synchronized: str | None) -> None:
    """Raises LogUnavailable if the log could show commits that a synchronous standby lacks when it is promoted."""
    if synchronized is None:
        raise LogUnavailable(
            "synchronous_standby_names is set and this server has no synchronized_standby_slots (Postgres 17 and later"
            " have): the log could tell of commits that a promoted standby lacks"
        )
    if not synchronized.strip():
        raise LogUnavailable(
            "synchronous_standby_names is set and synchronized_standby_slots is empty: the log could tell of commits"
            " that a promoted standby lacks; name the standbys' physical slots there"
        )
    rows = await connection.execute(
        "SELECT application_name, slot_name FROM pg_stat_replication r"
        " LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE sync_state IN ('sync', 'quorum')"
    )
    named = {one.strip().strip('"') for one in synchronized.split(",")}
    for standby, slot in await rows.fetchall():
        if slot not in named:
            raise LogUnavailable(
                f"synchronous standby {standby} uses {f'slot {slot}' if slot else 'no slot'}, which"
                " synchronized_standby_slots does not name: the log could tell of commits that it lacks when promoted"
            )


async def create_slot(
    connection: DatabaseConnection, url: str, prefix: str, publication: str, table: TableName
) -> WalCheckpoint:
    """Creates a slot with a new name, and returns the checkpoint at its beginning.

    Waits for every write transaction that is open in the cluster. The checkpoint stands for exactly the transactions
    that had committed where the slot begins. Raises LogUnavailable if no slot can be created.
    """
    await check_log(connection)
    state = await ensure_publication(connection, publication, table)
    name = new_slot_name(prefix)
    try:
        replication = await ReplicationConnection.open(url)
        try:
            lsn, snapshot_name = await replication.create_slot(name)
            async with connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                await connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot_name))
                row = await (await connection.execute("SELECT pg_current_snapshot()::text")).fetchone()
        finally:
            await replication.close()
    except psycopg.Error as error:
        raise LogUnavailable(f"no slot can be made: {str(error).strip()}") from None
    assert row is not None
    if await ensure_publication(connection, publication, table) != state:
        raise LogUnavailable(f"publication {publication} was changed while the slot was made")
    return WalCheckpoint(name, state, parse_lsn(lsn), Snapshot.parse_exported(row[0]))
