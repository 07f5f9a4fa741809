"""Migrates the database's schema to the revision that this version needs."""

from __future__ import annotations

import time

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, pool

from command_service.storage.revision import MIGRATIONS, required_revision
from command_service.storage.startup_checks import unreachable
from service_runtime.process import StartupRefused

#: The key of the advisory lock that lets only one migration run at a time, in whichever process.
ADVISORY_LOCK = 0x7461_6E64_656D_0001
#: A migration that waits longer than this for a lock on a table fails and can be repeated. Commands that queue after it
#: for the same table therefore wait no longer than this.
LOCK_TIMEOUT = "10s"
CONNECT_TIMEOUT_SECONDS = 10
TURN_PAUSE_SECONDS = 0.1


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def migrate(database_url: str, revision: str = "head") -> tuple[str | None, str]:
    """Applies missing migrations up to `revision`, after waiting for another process that migrates.

    Returns the revisions before and after; the one before is None for a database without the schema.

    Raises StartupRefused when the database cannot be reached or a table stays locked.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            database_url, connect_timeout=CONNECT_TIMEOUT_SECONDS, application_name="tandem-command-migrate"
        ),
        poolclass=pool.NullPool,
    )
    try:
        with engine.connect() as lock, engine.connect() as connection:
            _await_turn(lock)
            before = _revision(connection)
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            connection.commit()
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()
            return before, required_revision() if revision == "head" else revision
    except Exception as error:
        raise _refusal(error) from error
    finally:
        engine.dispose()


def _await_turn(lock: Connection) -> None:
    """Waits until no other process migrates.

    It asks again and again. A session that waits for a lock in a statement has a snapshot, and the other process would
    wait for the end of that snapshot while it builds an index.
    """
    while not lock.exec_driver_sql(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})").scalar():
        lock.commit()
        time.sleep(TURN_PAUSE_SECONDS)


def _revision(connection: Connection) -> str | None:
    if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def _refusal(error: Exception) -> Exception:
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, psycopg.errors.LockNotAvailable):
        return StartupRefused(f"another session kept a table locked for {LOCK_TIMEOUT}; repeat the migration later")
    if isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
        return StartupRefused("the database is read-only (a standby?); set COMMAND_DATABASE_URL to the primary")
    if isinstance(cause, psycopg.OperationalError):
        return StartupRefused(f"cannot migrate: {unreachable(cause)}")
    return error
