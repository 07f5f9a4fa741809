"""Check the Dockerfiles with hadolint and with our own rules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from dockerfile import Command, parse_string  # type: ignore[import-not-found]

HADOLINT = Path(sys.executable).with_name("hadolint")
HADOLINT_RULES = Path(__file__).with_name("hadolint.yaml")
#: Package -> the extra that its image installs.
IMAGES: Mapping[str, str] = {"command_service": "command", "relay": "relay", "query_service": "query", "audit": "audit"}
#: What every image is made of, beside its own package and lock.
SHARED = {"requirements/bootstrap.lock", "pyproject.toml", "README.md", "LICENSE", "protos", "service_runtime"}
#: What the stage that runs consists of. It has no RUN: what runs there is kept in a layer.
RUNTIME = {"FROM", "ARG", "COPY", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
#: Ids below this belong to the system's own accounts.
LEAST_USER_ID = 10_000


def stages(text: str) -> list[list[Command]]:
    """Split a Dockerfile into its stages, as the builder parses it; raises GoParseError."""
    found: list[list[Command]] = []
    for command in parse_string(text):
        if command.cmd == "FROM" or not found:
            found.append([])
        found[-1].append(command)
    return found


def faults(text: str, package: str) -> Iterator[str]:
    """Name what is wrong with the Dockerfile of a package, one sentence a fault."""
    *build, runtime = stages(text)
    if not build:
        yield "what builds must not be shipped: use a stage to build and another to run"
    yield from _linted(text)
    yield from _source_faults([command for stage in build for command in stage], package)
    yield from _runtime_faults({command.cmd: command for command in runtime}, package)


def _linted(text: str) -> Iterator[str]:
    words: list[str | Path] = [HADOLINT, "--config", HADOLINT_RULES, "--no-fail", "--format=json", "-"]
    ran = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    for found in json.loads(ran.stdout):
        yield f"line {found['line']}: {found['message']} (hadolint {found['code']})"


def _source_faults(commands: list[Command], package: str) -> Iterator[str]:
    needed = SHARED | {package, f"requirements/{IMAGES[package]}.lock"}
    for command in commands:
        if command.cmd in {"COPY", "ADD"}:
            for source in sorted(set(command.value[:-1]) - needed):
                yield f"COPY {source}: {package} must be made without it"
        for step in command.value[0].split("&&") if command.cmd == "RUN" else ():
            if re.search(r"pip (install|wheel)\b", step) and not re.search("--(no-index|require-hashes)", step):
                yield f"RUN {step.strip()}: install with --require-hashes, or from wheels built here with --no-index"


def _runtime_faults(last: Mapping[str, Command], package: str) -> Iterator[str]:
    if wrong := last.keys() ^ RUNTIME:
        yield f"{', '.join(sorted(wrong))}: the stage that runs has {', '.join(sorted(RUNTIME))} and nothing else"
        return
    user, _, group = last["USER"].value[0].partition(":")
    if not (user.isdecimal() and group.isdecimal()) or int(user) < LEAST_USER_ID:
        yield f"USER must be a number of {LEAST_USER_ID} or more and a group, so that Kubernetes sees it is not root"
    if last["ENTRYPOINT"].value != ("python", "-m", package):
        yield f'ENTRYPOINT must be ["python", "-m", "{package}"]: without a shell, signals reach the process'
    if any(re.search(r"(?i)(password|secret|token|_url)\b", word) for word in last["ENV"].value + last["ARG"].value):
        yield "secrets and addresses are given at run time, never in an image"
