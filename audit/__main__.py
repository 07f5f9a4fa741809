"""`python -m audit notary | witness | migrate | await-schema | check-config`.

Exit codes: 0 done, 1 failed, 2 refused or wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from audit.bootstrap import await_schema, migrate, notary, witness
from audit.config import AuditSettings
from service_runtime.config import load_settings
from service_runtime.log import configure_logging
from service_runtime.process import StartupRefused, run_process


def main(arguments: list[str] | None = None) -> int:
    """Runs one of the commands and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m audit", description="A signed log of all events, and its witness")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("notary", help="write the log and sign checkpoints until SIGTERM")
    witnessing = commands.add_parser("witness", help="sign checkpoints that continue the last one until SIGTERM")
    witnessing.add_argument("--dir", metavar="DIRECTORY", help="in place of AUDIT_WITNESS_DIRECTORY")
    commands.add_parser("migrate", help="make the log's tables, and its key if it is missing")
    commands.add_parser("await-schema", help="wait until `migrate` has run; for containers that start before it")
    commands.add_parser("check-config", help="check the settings without connecting to anything")
    given = parser.parse_args(arguments)
    chosen = given.command
    if getattr(given, "dir", None):
        os.environ["AUDIT_WITNESS_DIRECTORY"] = given.dir
    try:
        settings = load_settings(AuditSettings)
        if chosen == "check-config":
            sys.stdout.write("the settings of audit are right\n")
            return 0
        configure_logging(f"audit.{chosen}", settings.log_level)
        if chosen == "migrate":
            sys.stdout.write(f"{asyncio.run(migrate(settings))}\n")
            return 0
    except StartupRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    work = {"notary": notary, "witness": witness, "await-schema": await_schema}[chosen]
    return run_process(lambda stop: work(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
