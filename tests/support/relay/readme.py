"""Runs the blocks of the relay's README as they are."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

README = (Path(__file__).parents[3] / "relay" / "README.md").read_text()


def block(name: str) -> str:
    """Returns the fenced block between the README's markers."""
    match = re.search(rf"<!-- {name}:begin -->\n```\w*\n(.*?)```\n<!-- {name}:end -->", README, re.DOTALL)
    assert match, f"the README has no block {name}"
    return match[1]


@contextlib.asynccontextmanager
async def least_role(database_url: str) -> AsyncIterator[tuple[str, str]]:
    """Yields (name, database URL) of a role as the README creates it, on the README's tables; drops it at the end."""
    role = f"tandem_test_{secrets.token_hex(4)}"
    parts = urlsplit(database_url)
    url = urlunsplit(parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}"))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(block("ddl"))
        try:
            # Roles belong to the whole cluster, so this one needs a unique name.
            await connection.execute(re.sub(r"\brelay\b", role, block("role")))
            yield role, url
        finally:
            await connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE database = current_database() AND NOT active"
            )
            if (await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])).rowcount:
                await connection.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
