"""Runs `python -m relay run | adopt | parked | replay | check-config`. Without a command it does the same as `run`.

Exit codes: 0 done, 1 failed or refused, 2 refused to start or used wrongly. The commands adopt, parked, replay and
check-config also have 3: database or stream cannot be reached.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys

from relay.adoption.command import adopt
from relay.bootstrap import Relay
from relay.config import RelaySettings
from relay.parking import command as parked_command
from relay.preflight import preflight
from relay.replaying.command import ReplayWords, replay
from service_runtime.config import load_settings
from service_runtime.log import configure_logging
from service_runtime.plain_text import json_text, visible
from service_runtime.process import StartupRefused, run_process

_LAST_POSITION = 2**63 - 1


def parser() -> argparse.ArgumentParser:
    """Declares the arguments of `python -m relay`."""
    whole = argparse.ArgumentParser(prog="python -m relay", description="Carries an outbox into a JetStream stream")
    commands = whole.add_subparsers(dest="command")
    commands.add_parser("run", help="relay until SIGTERM")
    adopting = commands.add_parser("adopt", help="go on from a database that was restored, promoted or set back")
    adopting.add_argument("--force", action="store_true", help="also when nothing shows that the source changed")
    adopting.add_argument("--json", action="store_true", help="one JSON document")
    parked = commands.add_parser("parked", help="events that no stream takes, and the later ones of their aggregates")
    actions = parked.add_subparsers(dest="action", required=True)
    for action, explained in (
        ("list", "list what is held back, the longest parked first"),
        ("show", "show the parked events of an aggregate"),
        ("retry", "publish them, once what refused them is put right"),
        ("discard", "give them up: they stay in the outbox and are never published"),
    ):
        one = actions.add_parser(action, help=explained)
        one.add_argument("--json", action="store_true", help="one JSON document")
        if action == "list":
            continue
        one.add_argument("aggregate_id", metavar="AGGREGATE_ID", help="as `list` shows it")
        one.add_argument("--type", help="where aggregates of several types have that id")
        if action == "discard":
            one.add_argument("--position", type=_position, help="only the event at that position; retry the rest then")
        if action != "show":
            one.add_argument("--wait", type=_seconds, default=parked_command.WAIT_SECONDS, metavar="SECONDS",
                             help="for the leader's answer (default: %(default)g)")  # fmt: skip
    _declare_replay(commands.add_parser("replay", help="publish the outbox to a stream of its own, for a new consumer"))
    checking = commands.add_parser("check-config", help="say whether the settings are right")
    checking.add_argument(
        "--connect", action="store_true", help="also whether database and stream are as they must be; changes nothing"
    )
    return whole


def _declare_replay(replaying: argparse.ArgumentParser) -> None:
    replaying.add_argument("--from", dest="start", required=True, metavar="POSITION|TIME",
                           help="the first position, or the time from which events were recorded")  # fmt: skip
    replaying.add_argument("--until", metavar="POSITION|TIME",
                           help="the last position, or the time before which events were recorded")  # fmt: skip
    replaying.add_argument("--filter", dest="filters", action="append", default=[], metavar="TYPE=…|AGGREGATE=…",
                           help="only events of that type or aggregate; repeat it for more of them")  # fmt: skip
    replaying.add_argument("--to", required=True, metavar="STREAM", help="the replay's stream, made if it is missing")
    replaying.add_argument("--rate", type=_count, metavar="N", help="most events in a second")
    replaying.add_argument("--max-age", type=_count, metavar="SECONDS", help="how long a made stream keeps messages")
    replaying.add_argument("--max-bytes", type=_count, metavar="BYTES", help="how large a made stream may become")
    replaying.add_argument("--replicas", type=_count, metavar="N", help="servers that keep a made stream: 1, 3 or 5")
    replaying.add_argument("--json", action="store_true", help="one JSON document")


def _count(word: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,17}", word):
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number of at least 1")
    return int(word)


def _position(word: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", word) or int(word) > _LAST_POSITION:
        raise argparse.ArgumentTypeError(f"{word!r} is no position, a whole number such as 1234")
    return int(word)


def _seconds(word: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{0,9})?", word):
        raise argparse.ArgumentTypeError(f"{word!r} is no number of seconds, such as 30 or 0.5")
    return float(word)


def main(arguments: list[str]) -> int:
    """Runs the command and returns the exit code."""
    given = parser().parse_args(arguments)
    try:
        settings = load_settings(RelaySettings)
    except StartupRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    match given.command:
        case "check-config":
            return _check(settings, connect=given.connect)
        case "adopt":
            configure_logging("relay", settings.log_level)
            return adopt(settings, as_json=given.json, force=given.force)
        case "parked":
            return _parked(settings, given)
        case "replay":
            configure_logging("relay", "WARNING")
            return _replay(settings, given)
        case _:
            configure_logging("relay", settings.log_level)
            return run_process(Relay(settings).run)


def _check(settings: RelaySettings, *, connect: bool) -> int:
    sys.stdout.write("settings are valid\n")
    if not connect:
        return 0
    found = asyncio.run(preflight(settings))
    for sentence in (*found.problems, *(f"warning: {warning}" for warning in found.warnings)):
        sys.stderr.write(f"{visible(sentence)}\n")
    if not found.problems:
        sys.stdout.write("database and stream are as they must be\n")
    return found.exit_code


def _parked(settings: RelaySettings, given: argparse.Namespace) -> int:
    options = {name: getattr(given, name) for name in ("aggregate_id", "position", "wait") if hasattr(given, name)}
    options.setdefault("wait", 0.0)
    question = parked_command.ParkedQuestion(given.action, aggregate_type=getattr(given, "type", None), **options)
    report = asyncio.run(parked_command.run_parked(settings, question))
    if given.json:
        failed = {"error": report.error, "exit_code": report.exit_code} if report.error else report.document
        sys.stdout.write(json_text(failed) + "\n")
    else:
        for line in parked_command.lines(report):
            (sys.stderr if report.error else sys.stdout).write(f"{visible(line)}\n")
    return report.exit_code


def _replay(settings: RelaySettings, given: argparse.Namespace) -> int:
    words = ReplayWords(
        given.start,
        given.to,
        until=given.until,
        filters=given.filters,
        rate=given.rate,
        max_age_seconds=given.max_age,
        max_bytes=given.max_bytes,
        replicas=given.replicas,
    )
    return replay(settings, words, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
