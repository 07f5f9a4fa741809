"""Runs the query service: `serve`, `project`, `migrate`, `parked`, `rebuild`, `drift`, `reproject` and smaller ones.

Exit codes: 0 done, 1 failed, 2 refused or wrong usage. For `parked` and `rebuild`: 1 refused or still parked, 3 a store
or NATS is down. For `drift` and `reproject`: 1 something differs or was not done, 3 a store or service is down.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from query_service.application.rebuilding.rebuilds import RebuildStatus
from query_service.bootstrap import await_schema, migrate, parked, project, serve
from query_service.checking import drift, reproject, selection
from query_service.config import QuerySettings
from query_service.drift_commands import CheckReport
from query_service.parked_commands import ACTIONS
from query_service.projection.errors import ProjectionError
from query_service.projection.proto_json import microseconds
from query_service.rebuild_commands import ACTIONS as REBUILD_ACTIONS
from query_service.rebuild_commands import WORKERS, run_rebuild
from query_service.wire.rebuild_fields import progress_line, waiting_line
from service_runtime.config import load_settings
from service_runtime.log import configure_logging
from service_runtime.process import StartupRefused, run_process


def main(arguments: list[str] | None = None) -> int:
    """Runs one of the commands and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m query_service", description="The read side of the order system")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer questions over gRPC until SIGTERM")
    commands.add_parser("project", help="bring events from the stream into the read store until SIGTERM")
    commands.add_parser("migrate", help="create what is missing: indices, aliases, the stream's consumer")
    waiting = commands.add_parser(
        "await-schema", help="wait until `migrate` has run; for containers that start before it"
    )
    waiting.add_argument("--consumer", action="store_true", help="wait for the stream's consumer too")
    parking = commands.add_parser("parked", help="events that could not be projected, as JSON")
    parking.add_argument("action", choices=ACTIONS)
    parking.add_argument("key", nargs="?", default="", help="ORDER, ORDER/VERSION or STREAM/SEQUENCE; not for list")
    parking.add_argument("--needed-too", action="store_true", help="also discard an event that its order still lacks")
    rebuilding = commands.add_parser("rebuild", help="rebuild the read model without downtime; prints JSON")
    rebuilding.add_argument("action", choices=REBUILD_ACTIONS)
    rebuilding.add_argument("--workers", type=int, default=WORKERS, help="workers of this process; for start")
    rebuilding.add_argument("--join", action="store_true", help="start: help with a rebuild that is being filled")
    checking = commands.add_parser("drift", help="compare the read model with the write side, as JSON")
    checking.add_argument("action", choices=("check",))
    checking.add_argument("--repair", action="store_true", help="project orders that differ again, or remove them")
    checking.add_argument("--sample", type=_count, metavar="N", help="check the content of about N orders only")
    checking.add_argument("--most", type=_count, metavar="N", help="repair up to N orders; 100 or 1 %% when not given")
    again = commands.add_parser("reproject", help="project orders again in place, from the write side's journal")
    again.add_argument("what", choices=("order", "customer", "range"))
    again.add_argument("ids", nargs="*", metavar="ID", help="order ids, or one customer id")
    again.add_argument("--from", dest="since", type=_time, metavar="TIME", help="changed at this time or later")
    again.add_argument("--until", type=_time, metavar="TIME", help="changed before this time")
    commands.add_parser("check-config", help="check the settings without connecting to anything")
    given = parser.parse_args(arguments)
    chosen = given.command
    if chosen == "parked" and (given.action == "list") == bool(given.key):
        parking.error("list takes no key; show, retry and discard need one")
    if chosen == "reproject" and (fault := _fault_of_selection(given)):
        again.error(fault)
    try:
        settings = load_settings(QuerySettings)
        if chosen == "check-config":
            sys.stdout.write("the settings of query_service are right\n")
            return 0
        configure_logging(f"query_service.{chosen}", settings.log_level)
        if chosen == "migrate":
            sys.stdout.write(f"{asyncio.run(migrate(settings))}\n")
            return 0
        if chosen == "parked":
            report = asyncio.run(parked(settings, given.action, given.key, needed_too=given.needed_too))
            found = {"parked": list(report.entries)} | ({"error": report.error} if report.error else {})
            sys.stdout.write(json.dumps(found, indent=2) + "\n")
            return report.exit_code
        if chosen == "rebuild":
            return _rebuild(settings, given)
        if chosen in ("drift", "reproject"):
            return _print(asyncio.run(_checked(settings, given)))
    except StartupRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    if chosen == "await-schema":
        return run_process(lambda stop: await_schema(settings, stop, consumer=given.consumer))
    work = serve if chosen == "serve" else project
    return run_process(lambda stop: work(settings, stop))


def _rebuild(settings: QuerySettings, given: argparse.Namespace) -> int:
    """Runs an action of a rebuild; returns the exit code. Progress goes to standard error, the result to output."""

    def on_progress(status: RebuildStatus) -> None:
        sys.stderr.write(f"{progress_line(status)}\n")

    def on_waiting(workers: Sequence[str]) -> None:
        sys.stderr.write(f"{waiting_line(workers)}\n")

    report = asyncio.run(
        run_rebuild(
            settings,
            given.action,
            workers=given.workers,
            join=given.join,
            on_progress=on_progress,
            on_waiting=on_waiting,
        )
    )
    found = {"rebuild": report.rebuild} | ({"error": report.error} if report.error else {})
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return report.exit_code


async def _checked(settings: QuerySettings, given: argparse.Namespace) -> CheckReport:
    if given.command == "drift":
        return await drift(settings, repair=given.repair, sample=given.sample, most_repairs=given.most)
    return await reproject(settings, selection(given.what, given.ids, given.since, given.until))


def _print(report: CheckReport) -> int:
    found = dict(report.document) | ({"error": report.error} if report.error else {})
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return report.exit_code


def _fault_of_selection(given: argparse.Namespace) -> str | None:
    by_time = given.since is not None or given.until is not None
    if given.what == "range":
        return None if by_time and not given.ids else "range takes --from, --until or both, and no ids"
    if by_time or not given.ids or (given.what == "customer" and len(given.ids) != 1):
        return "order takes one id or more, customer takes one; --from and --until are for range"
    return None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no number")
    return int(text)


def _time(text: str) -> int:
    try:
        return microseconds(text, "the time")
    except ProjectionError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.detail}; write 2026-01-31T12:00:00Z") from None


if __name__ == "__main__":
    sys.exit(main())
