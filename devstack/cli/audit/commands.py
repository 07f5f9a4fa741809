"""Holds `tandem audit`: prove an order, check a proof or the whole journal, show notes and keys, run a witness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from devstack.cli.audit import checking, keys, proving, verifying

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
application.command("prove")(proving.prove)
application.command("note")(proving.note)
application.command("check")(checking.check)
application.command("verify")(verifying.verify)
application.command("key")(keys.key)


@application.callback()
def _audit() -> None:
    """The signed log of all events, which shows tampering."""


@application.command("witness")
def witness(
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIRECTORY", help="Where it keeps its key and what it has signed.")
    ],
) -> None:
    """Runs a witness until Ctrl-C.

    The settings are AUDIT_WITNESS_NAME, AUDIT_LOG_KEY, AUDIT_WITNESS_LISTEN and AUDIT_PROBES_LISTEN.
    Exit code 0 stopped, 1 failed, 2 wrong settings.
    """
    from audit.__main__ import main

    raise typer.Exit(main(["witness", "--dir", str(directory)]))
