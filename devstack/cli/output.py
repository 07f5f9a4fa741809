"""How commands speak: tables for people, one JSON document with `--json`, one sentence when something is wrong."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

import typer

from devstack.cli.exit_codes import ExitCode


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def fail(message: str, code: ExitCode, *, as_json: bool = False, **details: Any) -> NoReturn:
    """Ends the command with one sentence on standard error, or with `--json` one document on standard output."""
    if as_json:
        print_json({"error": message, "exit_code": int(code), **details})
    else:
        sys.stderr.write(f"{message}\n")
    raise typer.Exit(int(code))
