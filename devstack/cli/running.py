"""Runs the command line, and handles wrong usage, arguments that are no text, and readers that left."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.terminal import NobodyReads

#: What the command line's parser raises when words do not fit; its name is not public.
_UsageError: Any = typer.BadParameter.__mro__[1]
_UNDECODED = re.compile("[\udc80-\udcff]")


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code."""
    from devstack.cli.app import command_line

    as_json = "--json" in arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that knows fewer letters gets escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        _refuse_what_is_no_text(arguments, as_json)
        code = command_line().main(list(arguments), prog_name="tandem", standalone_mode=False)
        return int(code or ExitCode.OK)
    except typer.Exit as end:
        return end.exit_code
    except _UsageError as error:
        return _say_usage(error, as_json)
    except NobodyReads:
        # Nothing is left to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED


def _refuse_what_is_no_text(arguments: Sequence[str], as_json: bool) -> None:
    for number, argument in enumerate(arguments, start=1):
        if _UNDECODED.search(argument):
            raw = os.fsencode(argument)
            shown = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw)
            message = f"Argument {number}, '{shown}', is not in UTF-8; set the terminal to UTF-8 and type it again."
            fail(message, ExitCode.USAGE, as_json=as_json)


def _say_usage(error: Exception, as_json: bool) -> int:
    """Prints what is wrong with the usage, and where to read more; returns the exit code."""
    context = getattr(error, "ctx", None)
    message = str(getattr(error, "format_message", error.__str__)()).replace(": Value error, ", ": ")
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        command = context.command_path if context is not None else "tandem"
        if not as_json:
            from devstack.cli.terminal import complain

            for line in message.split("\n"):
                complain(line)
            return ExitCode.USAGE
        message = f"{command} needs a command"
    elif re.fullmatch(r"-[0-9.]", getattr(error, "option_name", "")):
        message = "A number below zero is not taken here: write what was paid, paid back or wanted, like 12.50."
    elif "unexpected extra argument" in message:
        message += "; words that belong together stand in quotes"
    hint = f" See `{context.command_path} --help`." if context is not None else ""
    try:
        fail(f"{message.rstrip('.')}.{hint}", ExitCode.USAGE, as_json=as_json, reason="USAGE")
    except typer.Exit as end:
        return end.exit_code
