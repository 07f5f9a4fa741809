"""Generates the reference pages from the code: `--write` writes them, `--verify` fails when one is out of date.

The page of metrics needs running processes. tests/acceptance/test_metrics.py writes it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from audit.config import AuditSettings
from command_service.config import CommandSettings
from devstack.stack.known_stack import ADDRESS_VARIABLES
from devstack.stack.topology import DEFAULT_PORTS
from docs.generator.markdown_table import table
from docs.generator.refusals import errors, rules
from query_service.config import QuerySettings
from relay.config import RelaySettings
from service_runtime.config import ServiceSettings, settings_table

DIRECTORY = Path(__file__).resolve().parents[1] / "reference"
_SECTIONS: tuple[tuple[str, str, type[ServiceSettings]], ...] = (
    ("Command service", "`python -m command_service serve | migrate | await-schema | check-config`", CommandSettings),
    ("Relay", "`python -m relay run | adopt [--json] [--force] | parked | replay | check-config`", RelaySettings),
    (
        "Query service",
        "`python -m query_service serve | project | migrate | await-schema | parked | check-config`",
        QuerySettings,
    ),
    ("Audit log", "`python -m audit notary | witness | migrate | await-schema | check-config`", AuditSettings),
)
_LOCAL: Mapping[str, str] = {
    "TANDEM_DIR": "Where the local stack keeps data and logs; default: `.tandem` of the project.",
    "TANDEM_PATIENCE_SECONDS": "How long `tandem` waits for a silent service; default: 5.5, less after a slow start.",
    "TANDEM_CACHE_DIR": "Where downloads and unpacked servers are kept; default: `cache` in that directory.",
}


def configuration() -> str:
    """Generates the page of all settings."""
    parts = [
        "# Settings\n\nGenerated from the code; do not edit. Values come from environment variables. A secret may\n"
        "also be in a file in `/run/secrets` (or `TANDEM_SECRETS_DIR`) that is named like the variable, in lower case. "
        "A process with a wrong value names the variable and does not start.\n"
    ]
    for title, usage, settings in _SECTIONS:
        rows = ((f"`{name}`", _default(default), text) for name, default, text in settings_table(settings))
        parts.append(f"\n## {title}\n{usage}\n\n{table(('variable', 'default', 'meaning'), rows)}")
    ports = ((f"`{name}`", str(port)) for name, port in DEFAULT_PORTS.items())
    parts.append(
        f"\n## Local stack\n`make up`. With port 0 the system chooses.\n\n{table(('variable', 'default'), ports)}"
    )
    others = ((f"`{name}`", text) for name, text in _LOCAL.items())
    parts.append(f"\n{table(('variable', 'meaning'), others)}")
    named = ((f"`{name}`", text) for name, (_, text) in ADDRESS_VARIABLES.items())
    parts.append(
        "\n## A stack that runs elsewhere\nThe `tandem` command uses the local stack that runs here. "
        "These variables name another stack. If one of them is set,\n"
        "each of the others defaults to its port of `make up`."
        f"\n\n{table(('variable', 'address of'), named)}"
    )
    return "".join(parts)


def metrics(scrapes: Mapping[str, str]) -> str:
    """Generates the page of all metrics; `scrapes` maps a process's title to the text of its `/metrics`."""
    parts = [
        "# Metrics\n\nGenerated from what running processes export; do not edit. "
        "OpenMetrics on `/metrics` of each probe port.\n"
    ]
    for title, text in scrapes.items():
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        meanings = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
        rows = ((f"`{name}`", kind, meanings.get(name, "")) for name, kind in sorted(kinds.items()))
        parts.append(f"\n## {title}\n{table(('metric', 'type', 'meaning'), rows)}")
    return "".join(parts)


def _default(text: str) -> str:
    return text if text == "required" else f"`{text}`" if text not in ("", "None") else "–"


PAGES = {"configuration.md": configuration, "errors.md": errors, "rules.md": rules}


def main() -> int:
    """Writes or verifies the pages; returns 1 when one is out of date, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the pages")
    action.add_argument("--verify", action="store_true", help="compare with the committed pages")
    arguments = parser.parse_args()
    stale = []
    for name, make in PAGES.items():
        path, text = DIRECTORY / name, make()
        if arguments.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        sys.stderr.write(f"out of date, run `make generate`: {', '.join(stale)}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
