"""Provides the exports' own pool of database connections, so that commands never wait for an export."""

from __future__ import annotations

from command_service.storage.connection.connections import CommandPool, command_pool

APPLICATION_NAME = "tandem-export"
#: How many seconds a page waits for a free connection. Nobody waits for it at a screen.
ACQUIRE_SECONDS = 30.0


def export_pool(database_url: str, *, size: int, max_waiting: int, statement_seconds: float) -> CommandPool:
    """Returns a pool of at most `size` connections, not yet opened. It connects only when there is an export.

    No statement runs longer than `statement_seconds`.
    """
    return command_pool(
        database_url,
        size=size,
        least=0,
        max_waiting=max_waiting,
        statement_seconds=statement_seconds,
        acquire_seconds=ACQUIRE_SECONDS,
        name=APPLICATION_NAME,
    )
