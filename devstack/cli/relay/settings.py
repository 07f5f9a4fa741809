"""Finds the relay that a command is about: the local stack's if it runs here, otherwise the environment's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.terminal import complain

if TYPE_CHECKING:
    from relay.config import RelaySettings

OfEnvironment = Annotated[
    bool, typer.Option("--of-environment", help="The relay that RELAY_… variables name, also while a stack runs here.")
]


def relay_settings(of_environment: bool, *, as_json: bool) -> RelaySettings:
    """Returns the relay's settings; ends the command when there are none. Prints their database on standard error.

    A stack that runs here wins over RELAY_… variables, which may be left from other work, unless `of_environment`.
    """
    from devstack.stack.known_stack import known_stack
    from devstack.stack.record import read_record
    from relay.config import RelaySettings
    from service_runtime.config import load_settings
    from service_runtime.process import StartupRefused

    told = bool(os.environ.get("TANDEM_POSTGRES_URL")) or read_record() is not None
    by_environment = of_environment or (not told and bool(os.environ.get("RELAY_DATABASE_URL")))
    stack = None if by_environment else known_stack()
    if stack is not None:
        os.environ.update(stack.settings())
    try:
        settings = load_settings(RelaySettings)
    except StartupRefused as refusal:
        hint = "" if stack is not None else "Nothing runs here, and the environment names no other relay: "
        fail(f"{hint}{'; '.join(str(refusal).splitlines())}", ExitCode.USAGE, as_json=as_json)
    origin = "the stack that is known here" if stack is not None else "RELAY_DATABASE_URL"
    complain(f"database {database_name(settings)}, of {origin}")
    return settings


def database_name(settings: RelaySettings) -> str:
    """Returns the database without user and password: `127.0.0.1:25432/tandem`."""
    return settings.database_name
