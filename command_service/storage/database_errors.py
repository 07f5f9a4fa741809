"""Translates the driver's errors into the application's. Unknown ones are defects and pass unchanged."""

from __future__ import annotations

import psycopg
from psycopg import errors

from command_service.application.errors import CommandError, Conflict, ConnectionBroken, TimedOut

DEPENDENCY = "postgres"
#: Another transaction was in the way; the same work may succeed at once.
_CONFLICTS = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
#: SQLSTATE classes and codes of a server that went away, has no room, or is (no longer) a primary.
_UNAVAILABLE = ("08", "53", "57P", "25P03", "25006")
#: The driver and the server disagree about what is prepared. Nothing was committed, and an error makes both forget.
_OUT_OF_STEP = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)


def meaning_of(error: psycopg.Error) -> CommandError | None:
    """Returns Conflict, TimedOut or ConnectionBroken for an error that means it."""
    if isinstance(error, _CONFLICTS):
        return Conflict()
    if isinstance(error, errors.QueryCanceled):
        return TimedOut()
    if isinstance(error, _OUT_OF_STEP) or means_unavailable(error):
        return ConnectionBroken(DEPENDENCY)
    return None


def means_unavailable(error: psycopg.Error) -> bool:
    """Whether the connection or the server is gone, full or read-only, and the statement not at fault."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_UNAVAILABLE)
    # Without SQLSTATE the message is libpq's: the connection broke.
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
