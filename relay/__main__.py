"""`python -m relay [run|adopt|check-config]`: relay until SIGTERM, adopt a restored database, or only say whether the
settings are right."""

from __future__ import annotations

import sys

from relay.adoption_command import adopt
from relay.bootstrap import Relay
from relay.config import RelaySettings
from service_runtime.config import load_settings
from service_runtime.log import configure_logging
from service_runtime.process import StartupRefused, run_process

USAGE = "usage: python -m relay [run | adopt [--json] [--force] | check-config]\n"
_OPTIONS = {"run": frozenset[str](), "adopt": frozenset({"--json", "--force"}), "check-config": frozenset[str]()}


def main(arguments: list[str]) -> int:
    """Runs the command; the exit code."""
    command, options = arguments[0] if arguments else "run", arguments[1:]
    if not set(options) <= _OPTIONS.get(command, frozenset()) or command not in _OPTIONS:
        sys.stderr.write(USAGE)
        return 2
    try:
        settings = load_settings(RelaySettings)
    except StartupRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    if command == "check-config":
        sys.stdout.write("settings are valid\n")
        return 0
    configure_logging("relay", settings.log_level)
    if command == "adopt":
        return adopt(settings, as_json="--json" in options, force="--force" in options)
    return run_process(Relay(settings).run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
