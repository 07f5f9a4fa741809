"""Ends a command when something is wrong: with one sentence, or with `--json` with one document."""

from __future__ import annotations

from typing import Any, NoReturn

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.terminal import complain, say_json


def fail(message: str, code: ExitCode, *, as_json: bool = False, **details: Any) -> NoReturn:
    """Ends the command with one sentence on standard error, or with `--json` one document on standard output."""
    if as_json:
        say_json({"error": message, "exit_code": int(code), **details})
    else:
        complain(message)
    raise typer.Exit(int(code))
