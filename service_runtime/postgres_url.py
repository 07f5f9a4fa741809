"""Checks the URL of a Postgres server, or of several servers of which one is the primary, as libpq reads it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from psycopg import ProgrammingError, conninfo, pq
from pydantic import AfterValidator, SecretStr

#: A directory that does not exist. With it as host, libpq reads all options and then finds no socket, without using
#: the network.
_NOWHERE = "/nonexistent/tandem"


def check_postgres_url(url: str) -> None:
    """Raises ValueError, with a sentence without secrets, unless libpq would connect over TCP with this URL."""
    if urlsplit(url).scheme not in ("postgresql", "postgres"):
        raise ValueError("must be a URL such as postgresql://user@host:5432/database")
    try:
        options = conninfo.conninfo_to_dict(url)
    except ProgrammingError as error:
        # libpq's message may quote the password, so only the part before a quote is shown.
        raise ValueError(f"cannot be read: {str(error).partition(':')[0].partition(chr(34))[0].strip()}") from None
    _check_hosts(str(options.get("host") or options.get("hostaddr") or ""), str(options.get("port") or ""))
    if not str(options.get("connect_timeout", "0")).isdigit():
        raise ValueError("connect_timeout must be a number of seconds")
    given = {name: str(value) for name, value in options.items() if value is not None}
    _check_values(conninfo.make_conninfo(**{**given, "host": _NOWHERE, "hostaddr": "", "port": "5432"}))


def _check_hosts(hosts: str, ports: str) -> None:
    names, numbers = hosts.split(","), ports.split(",")
    if not all(name and not name.startswith(("/", "@")) for name in names):
        raise ValueError(
            "must name the host, as in postgresql://user@host:5432/database (TCP: a client that stopped is noticed only"
            " there)"
        )
    if len(numbers) not in (1, len(names)):
        raise ValueError(f"names {len(names)} hosts and {len(numbers)} ports; give one port for all, or one for each")
    given = [number for number in numbers if number]
    if not all(number.isascii() and number.isdigit() and 0 < int(number) < 65_536 for number in given):
        raise ValueError("has a port that is no number from 1 to 65535")


def _check_values(text: str) -> None:
    """Lets libpq check the values of options, such as sslmode. Raises ValueError if one is wrong."""
    connection = pq.PGconn.connect_start(text.encode())
    try:
        problem = connection.error_message.decode(errors="replace").strip()
    finally:
        connection.finish()
    if problem and _NOWHERE not in problem:
        raise ValueError(f"cannot be used: {problem.splitlines()[0]}")


def _checked(value: SecretStr) -> SecretStr:
    check_postgres_url(value.get_secret_value())
    return value


#: A setting with the URL of a Postgres server; see `check_postgres_url`.
PostgresUrl = Annotated[SecretStr, AfterValidator(_checked)]
