"""What an error of the leader's session means for the leader."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import psycopg

from relay.errors import LeadershipLost, Refused

#: What a server says to a role that may not come in at all -> what lets it. Such errors carry no code.
_SHUT_OUT = (
    (re.compile("permission denied for database"), "GRANT CONNECT ON DATABASE"),
    (re.compile("is not permitted to log in"), "ALTER ROLE with LOGIN"),
)


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
        reason = str(error).strip() or type(error).__name__
        for said, remedy in _SHUT_OUT:
            if isinstance(error, psycopg.OperationalError) and said.search(reason):
                raise Refused(f"the relay's role lacks a right; its owner grants it by {remedy}: {reason}") from None
        raise LeadershipLost(f"the database session broke off: {reason}") from None
