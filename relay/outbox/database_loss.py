"""Translates errors of the leader's database session into the relay's own errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg

from relay.events.errors import LeadershipLost, Refused
from service_runtime.error_text import in_one_line


@contextlib.contextmanager
def database_lost() -> Iterator[None]:
    """Raises LeadershipLost for database errors in the block, because the session ends and loses the lock.

    Raises Refused if only a right is missing, because waiting does not help. The check of the next session says which
    right (`rights`).
    """
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise Refused(f"the relay's role lacks a right: {str(error).strip()}") from None
    except (psycopg.Error, OSError, TimeoutError) as error:
        reason = in_one_line(error)
        raise LeadershipLost(f"the database session broke off: {reason}") from None
