"""`python -m audit notary | witness | migrate | await-schema | check-config`.

Exit codes: 0 done, 1 failed, 2 refused or wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from audit.bootstrap import await_schema, migrate, notary, witness
from audit.config import NotarySettings, WitnessSettings
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
    checking = commands.add_parser("check-config", help="check the settings without connecting to anything")
    checking.add_argument("--witness", action="store_true", help="those of a witness")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except StartupRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2


def _run(given: argparse.Namespace) -> int:
    chosen = given.command
    if chosen == "witness" or (chosen == "check-config" and given.witness):
        if getattr(given, "dir", None):
            os.environ["AUDIT_WITNESS_DIRECTORY"] = given.dir
        of_witness = load_settings(WitnessSettings)
        if chosen == "check-config":
            return _right()
        configure_logging("audit.witness", of_witness.log_level)
        return run_process(lambda stop: witness(of_witness, stop))
    settings = load_settings(NotarySettings)
    if chosen == "check-config":
        return _right()
    configure_logging(f"audit.{chosen}", settings.log_level)
    if chosen == "migrate":
        sys.stdout.write(f"{asyncio.run(migrate(settings))}\n")
        return 0
    work = notary if chosen == "notary" else await_schema
    return run_process(lambda stop: work(settings, stop))


def _right() -> int:
    sys.stdout.write("the settings of audit are right\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
