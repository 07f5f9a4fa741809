"""`python -m query_service serve | project | migrate | await-schema | check-config`.

Exit codes: 0 done, 1 failed, 2 refused or misused.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from query_service.bootstrap import await_schema, migrate, project, serve
from query_service.config import QuerySettings
from service_runtime.config import load_settings
from service_runtime.log import configure_logging
from service_runtime.process import StartupRefused, run_process


def main(arguments: list[str] | None = None) -> int:
    """Runs one of the five and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m query_service", description="The read side of the order system")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer questions over gRPC until SIGTERM")
    commands.add_parser("project", help="bring events from the stream into the read store until SIGTERM")
    commands.add_parser("migrate", help="create what is missing: indices, aliases, the stream's consumer")
    waiting = commands.add_parser("await-schema", help="wait until `migrate` was run; for containers that start first")
    waiting.add_argument("--consumer", action="store_true", help="wait for the stream's consumer too")
    commands.add_parser("check-config", help="say whether the settings are right, and touch nothing")
    given = parser.parse_args(arguments)
    chosen = given.command
    try:
        settings = load_settings(QuerySettings)
        if chosen == "check-config":
            sys.stdout.write("the settings of query_service are right\n")
            return 0
        configure_logging(f"query_service.{chosen}", settings.log_level)
        if chosen == "migrate":
            sys.stdout.write(f"{asyncio.run(migrate(settings))}\n")
            return 0
    except StartupRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    if chosen == "await-schema":
        return run_process(lambda stop: await_schema(settings, stop, consumer=given.consumer))
    work = serve if chosen == "serve" else project
    return run_process(lambda stop: work(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
