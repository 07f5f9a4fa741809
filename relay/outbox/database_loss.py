"""What an error of the leader's session means for the leader."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg

from relay.events.errors import LeadershipLost, Refused
from service_runtime.error_text import in_one_line


@contextlib.contextmanager
def database_lost() -> Iterator[None]:
    """LeadershipLost for what fails here: it is the leader's session, and with it goes the lock.

    Refused where only a right is missing: waiting mends nothing then. The next session's check names it (`rights`).
    """
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise Refused(f"the relay's role lacks a right: {str(error).strip()}") from None
    except (psycopg.Error, OSError, TimeoutError) as error:
        reason = in_one_line(error)
        raise LeadershipLost(f"the database session broke off: {reason}") from None
