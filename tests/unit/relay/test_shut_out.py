"""Who is turned away by a database is told apart from one who finds it away, by what libpq says."""

from __future__ import annotations

import psycopg
import pytest

from relay.outbox.shut_out import refusal

AT = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
AWAY = 'connection failed: connection to server at "10.0.0.2", port 5432 failed: Connection refused'
TURNED_AWAY = [
    'FATAL:  password authentication failed for user "relay"',
    'FATAL:  LDAP authentication failed for user "relay"',
    'FATAL:  role "relay" does not exist',
    'FATAL:  role "relay" is not permitted to log in',
    'FATAL:  database "shop" does not exist',
    'FATAL:  permission denied for database "shop"\nDETAIL:  User does not have CONNECT privilege.',
    'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "relay", database "shop", no encryption',
    'FATAL:  pg_hba.conf rejects connection for host "10.0.0.9", user "relay", database "shop", no encryption',
    "fe_sendauth: no password supplied",
    "FATAL:  no such user: relay",
    "FATAL:  no such database: shop",
]
WAITED_FOR = [
    "FATAL:  the database system is starting up",
    "FATAL:  the database system is not yet accepting connections\nDETAIL:  Consistent recovery state has not been yet"
    " reached.",
    "FATAL:  the database system is shutting down",
    "FATAL:  the database system is in recovery mode",
    "FATAL:  sorry, too many clients already",
    'FATAL:  too many connections for role "relay"',
    'FATAL:  database "shop" is not currently accepting connections',
    "FATAL:  server login has been failing, try again later (server_login_retry)",
    "FATAL:  terminating connection due to administrator command",
    "session is read-only",
    "server closed the connection unexpectedly",
    "timeout expired",
    "Connection refused",
]


def several(*attempts: str) -> str:
    """What psycopg says of several servers."""
    lines = [f"- host: '10.0.0.{n}', port: '5432', hostaddr: '10.0.0.{n}': {one}" for n, one in enumerate(attempts)]
    return "\n".join([attempts[-1], "Multiple connection attempts failed. All failures were:", *lines])


@pytest.mark.parametrize("said", TURNED_AWAY)
def test_who_is_turned_away_is_told_so_in_one_line(said: str) -> None:
    for text in (AT + said, several(AT + said, AT + said)):
        told = str(refusal(psycopg.OperationalError(text)))
        first = said.splitlines()[0].removeprefix("FATAL:").strip()
        assert told.startswith(f"the database does not let the relay in: {first}; "), told
        assert "\n" not in told


@pytest.mark.parametrize("said", WAITED_FOR)
def test_an_outage_is_none(said: str) -> None:
    assert refusal(psycopg.OperationalError(AT + said)) is None


@pytest.mark.parametrize("said", TURNED_AWAY)
def test_a_server_that_may_yet_let_us_in_is_waited_for(said: str) -> None:
    assert refusal(psycopg.OperationalError(several(AT + said, AWAY))) is None
    assert refusal(psycopg.OperationalError(several(AWAY, AT + said))) is None


def test_a_name_that_sounds_like_it_is_none() -> None:
    assert refusal(psycopg.OperationalError("failed to resolve host 'authentication failed': unknown")) is None
