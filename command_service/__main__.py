"""`python -m command_service serve | migrate | await-schema | check-config`.

Exit codes: 0 done, 1 failed, 2 refused or misused.
"""

from __future__ import annotations

import argparse
import sys

from command_service.bootstrap import await_schema, migrate, serve
from command_service.config import CommandSettings
from service_runtime.config import load_settings
from service_runtime.log import configure_logging
from service_runtime.process import StartupRefused, run_process


def main(arguments: list[str] | None = None) -> int:
    """Runs the chosen one of the four commands and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m command_service", description="The write side of the order system")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve commands over gRPC until SIGTERM")
    commands.add_parser("migrate", help="bring the database's schema to what this version needs")
    commands.add_parser("await-schema", help="wait until another process has migrated; for containers that start first")
    commands.add_parser("check-config", help="say whether the settings are right, and touch nothing")
    chosen = parser.parse_args(arguments).command
    try:
        settings = load_settings(CommandSettings)
        if chosen == "check-config":
            sys.stdout.write("the settings of command_service are right\n")
            return 0
        configure_logging("command_service", settings.log_level)
        if chosen == "migrate":
            return _migrate(settings)
    except StartupRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    work = await_schema if chosen == "await-schema" else serve
    return run_process(lambda stop: work(settings, stop))


def _migrate(settings: CommandSettings) -> int:
    before, after = migrate(settings)
    done = "already is" if before == after else f"is now (it was {before or 'empty'})"
    sys.stdout.write(f"the database {done} at schema revision {after}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
