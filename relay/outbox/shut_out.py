"""Distinguishes a database that refuses the relay's role from one that is down. Only in the second case waiting helps.

Connection errors have no code, only the server's text. If that text is not English, the relay does not recognise a
refusal: it waits and shows the text.
"""

from __future__ import annotations

import re

import psycopg

from relay.events.errors import Refused

#: (pattern for the text of a server, libpq or PgBouncer, what an operator must do to let the role in).
_SHUT_OUT = (
    (r"no password supplied|authentication failed", "check the user and password of RELAY_DATABASE_URL"),
    (r"no pg_hba\.conf entry|pg_hba\.conf rejects", "allow it in the server's pg_hba.conf"),
    (r'role ".*" does not exist|no such user', "make that role, or name another one in RELAY_DATABASE_URL"),
    (r'database ".*" does not exist|no such database', "make it, or name another one in RELAY_DATABASE_URL"),
    (r"permission denied for database", "its owner grants that by GRANT CONNECT ON DATABASE"),
    (r"is not permitted to log in", "allow it by ALTER ROLE with LOGIN"),
)
_NEXT_ATTEMPT = "\n- host: "


def refusal(error: psycopg.Error) -> Refused | None:
    """Returns the refusal if every server that was tried has refused the role; None if one may accept it later."""
    first, *several = str(error).strip().split(_NEXT_ATTEMPT)
    remedies = [_remedy(attempt) for attempt in several or [first]]
    if not remedies[0] or not all(remedies):
        return None
    return Refused(f"the database does not let the relay in: {_reason((several or [first])[0])}; {remedies[0]}")


def _remedy(attempt: str) -> str:
    return next((remedy for said, remedy in _SHUT_OUT if re.search(rf"(?:FATAL|failed): +.*?(?:{said})", attempt)), "")


def _reason(attempt: str) -> str:
    """Returns the server's own text, in one line."""
    return attempt.splitlines()[0].rpartition("FATAL: ")[2].rpartition(" failed: ")[2].strip()
