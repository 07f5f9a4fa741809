"""A pooler between the relay and Postgres: refused where it lends backends by the transaction, the lock with them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from devstack.servers.ports import HOST, free_port
from relay.events.errors import Refused
from relay.outbox.database import connect
from relay.outbox.startup_checks import check_database

PROGRAM = os.environ.get("TANDEM_TEST_PGBOUNCER") or shutil.which("pgbouncer")
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no pgbouncer on PATH, and TANDEM_TEST_PGBOUNCER does not name one"
)


@asynccontextmanager
async def pooler(url: str, directory: Path, mode: str) -> AsyncIterator[str]:
    """A pgbouncer in front of the database; the URL through it."""
    assert PROGRAM is not None
    parts, port = urlsplit(url), free_port()
    database = parts.path.lstrip("/")
    users = directory / "users.txt"
    users.write_text(f'"{parts.username}" ""\n')
    config = directory / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{database} = host={parts.hostname} port={parts.port} user={parts.username}\n"
        f"[pgbouncer]\nlisten_addr = {HOST}\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"auth_file = {users}\npool_mode = {mode}\n"
    )
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        str(config),
        user="nobody" if os.geteuid() == 0 else None,
        stderr=asyncio.subprocess.PIPE,
    )
    through = f"postgresql://{parts.username}@{HOST}:{port}/{database}"
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    await (await psycopg.AsyncConnection.connect(through)).close()
                    break
                except psycopg.OperationalError:
                    assert process.returncode is None, (await process.communicate())[1].decode()
                    await asyncio.sleep(0.05)
        yield through
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_lending_by_the_transaction_is_refused(
    postgres_database: str, server_directory: Callable[[str], Path]
) -> None:
    async with pooler(postgres_database, server_directory("pgbouncer"), "transaction") as url:
        connection = await connect(url, "test")
        async with connection:
            with pytest.raises(Refused, match="pooler in transaction mode"):
                await check_database(connection, url)


async def test_lending_by_the_session_is_not(postgres_database: str, server_directory: Callable[[str], Path]) -> None:
    async with pooler(postgres_database, server_directory("pgbouncer"), "session") as url:
        connection = await connect(url, "test")
        async with connection:
            await check_database(connection, url)
