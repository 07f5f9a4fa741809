"""Reads Dockerfiles and says which of our rules for images they break."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

#: The distribution tags of an image that mean another thing tomorrow.
FLOATING_TAGS = {"", "latest", "slim", "stable", "edge", "alpine"}
#: Ids below this belong to the system's own accounts.
LEAST_USER_ID = 10_000


@dataclass(frozen=True)
class Instruction:
    """One instruction: `keyword` in capitals and the rest of its line, continuation lines joined."""

    keyword: str
    value: str

    @property
    def exec_form(self) -> list[str] | None:
        """The words of a JSON array such as `["python", "-m", "relay"]`; None for the shell form."""
        try:
            words = json.loads(self.value)
        except ValueError:
            return None
        return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


@dataclass
class Stage:
    """One `FROM`: its base image, its name if it has one, and what follows."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def of(self, *keywords: str) -> list[Instruction]:
        """The instructions with one of the keywords, in order."""
        return [instruction for instruction in self.instructions if instruction.keyword in keywords]

    def last(self, keyword: str) -> Instruction | None:
        """The instruction that is in force at the end."""
        found = self.of(keyword)
        return found[-1] if found else None


def parse(text: str) -> list[Stage]:
    """Stages of a Dockerfile; raises ValueError on a line before the first FROM."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[Stage] = []
    for line in joined.splitlines():
        keyword, _, value = line.strip().partition(" ")
        instruction = Instruction(keyword.upper(), value.strip())
        if instruction.keyword == "FROM":
            base, _, name = instruction.value.partition(" AS ")
            stages.append(Stage(base, name))
        elif not stages:
            raise ValueError(f"{instruction.keyword} stands before the first FROM")
        else:
            stages[-1].instructions.append(instruction)
    return stages


def faults(text: str, package: str, extra: str, packages: frozenset[str]) -> Iterator[str]:
    """One sentence for each rule that the Dockerfile of `package` (with the lock of `extra`) breaks.

    `packages` are all services; an image may take in its own alone.
    """
    stages = parse(text)
    yield from _base_faults(stages)
    yield from _source_faults(stages, package, extra, packages)
    yield from _runtime_faults(stages[-1], package)


def _base_faults(stages: list[Stage]) -> Iterator[str]:
    if len(stages) < 2:
        yield "what builds must not be shipped: use a stage to build and another to run"
    for base in {stage.base for stage in stages}:
        name, _, tag = base.partition(":")
        if tag in FLOATING_TAGS:
            yield f"FROM {base}: name a version, a floating tag changes under us"
        if "/" in name:
            yield f"FROM {base}: use the official image by name, registries are the builder's choice"


def _source_faults(stages: list[Stage], package: str, extra: str, packages: frozenset[str]) -> Iterator[str]:
    lock = f"requirements/{extra}.lock"
    for copy in (copy for stage in stages for copy in stage.of("COPY", "ADD")):
        sources = [word for word in shlex.split(copy.value) if not word.startswith("--")][:-1]
        for source in sources:
            if source in {".", "./", "*"}:
                yield f"COPY {copy.value}: name what is needed, not everything"
            if source in packages - {package}:
                yield f"COPY {copy.value}: {package} must not contain {source}"
            if source.startswith("requirements/") and source not in {lock, "requirements/bootstrap.lock"}:
                yield f"COPY {copy.value}: {package} installs from {lock} only"
    for step in (part for stage in stages for run in stage.of("RUN") for part in run.value.split("&&")):
        if re.search(r"pip (install|wheel)\b", step) and "--no-index" not in step and "--require-hashes" not in step:
            yield f"RUN {step.strip()}: install with --require-hashes, or from wheels built here with --no-index"


def _runtime_faults(stage: Stage, package: str) -> Iterator[str]:
    user = stage.last("USER")
    if user is None or not re.fullmatch(r"\d+:\d+", user.value) or int(user.value.split(":")[0]) < LEAST_USER_ID:
        yield f"USER must be a number of {LEAST_USER_ID} or more and a group, so that Kubernetes sees it is not root"
    if stage.of("RUN"):
        yield "the stage that runs must only copy: what runs there is kept in a layer"
    entrypoint = stage.last("ENTRYPOINT")
    if entrypoint is None or entrypoint.exec_form != ["python", "-m", package]:
        yield f'ENTRYPOINT must be ["python", "-m", "{package}"]: without a shell, signals reach the process'
    command = stage.last("CMD")
    if command is None or not command.exec_form:
        yield "CMD must name the process to run, as a JSON array"
    if any(re.search(r"(?i)(password|secret|token|_url)\b", env.value) for env in stage.of("ENV", "ARG")):
        yield "secrets and addresses are given at run time, never in an image"
