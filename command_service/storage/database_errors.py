"""Translates the driver's errors into the application's. Errors without a translation are defects."""

from __future__ import annotations

import psycopg
from psycopg import errors

from command_service.application.errors import CommandError, Conflict, ConnectionBroken, TimedOut

DEPENDENCY = "postgres"
#: Another transaction interfered; the same work may succeed if it is repeated at once.
_CONFLICTS = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
#: SQLSTATE classes and codes of a server that is gone, has no free resources, or is not a primary.
_UNAVAILABLE = ("08", "53", "57P", "25P03", "25006")
#: Driver and server disagree about which statements are prepared. Nothing was committed. After an error the connection
#: drops the prepared statements of both.
_OUT_OF_STEP = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)


def meaning_of(error: psycopg.Error) -> CommandError | None:
    """Returns the Conflict, TimedOut or ConnectionBroken that `error` means; None when it means none of them."""
    if isinstance(error, _CONFLICTS):
        return Conflict()
    if isinstance(error, errors.QueryCanceled):
        return TimedOut()
    if isinstance(error, _OUT_OF_STEP) or means_unavailable(error):
        return ConnectionBroken(DEPENDENCY)
    return None


def means_unavailable(error: psycopg.Error) -> bool:
    """Whether the connection broke, or the server is gone, full or read-only. The statement is then not at fault."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_UNAVAILABLE)
    # Without SQLSTATE the message is libpq's: the connection broke.
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
