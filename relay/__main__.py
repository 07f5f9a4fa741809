"""`python -m relay [run|check-config]`: relay until SIGTERM, or only say whether the settings are right."""

from __future__ import annotations

import sys

from relay.bootstrap import Relay
from relay.config import RelaySettings
from service_runtime.config import load_settings
from service_runtime.log import configure_logging
from service_runtime.process import StartupRefused, run_process

USAGE = "usage: python -m relay [run|check-config]\n"


def main(arguments: list[str]) -> int:
    """Runs the command; the exit code."""
    command = arguments[0] if arguments else "run"
    if len(arguments) > 1 or command not in {"run", "check-config"}:
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
    return run_process(Relay(settings).run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
