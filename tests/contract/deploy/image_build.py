"""Carry out a Dockerfile's instructions on this machine, in a directory, with only what `.dockerignore` lets in.

Paths that an image has at fixed places are `ARG`s, given here; a `RUN` that names another absolute path is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docker.utils.build import exclude_paths  # type: ignore[import-untyped]
from dockerfile import Command  # type: ignore[import-not-found]

from deploy.images import stages


class BuildError(Exception):
    """A step failed; the message ends with what it said."""


@dataclass
class BuiltImage:
    """What would run: `python` of the image's environment and the words to start it with."""

    prefix: Path
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]

    def run(self, *arguments: str, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run the entry point with `settings` as its whole environment, in an empty directory it cannot rely on."""
        return subprocess.run(
            [self.prefix / "bin" / self.entrypoint[0], *self.entrypoint[1:], *(arguments or self.command)],
            cwd=self.prefix.parent,
            env={**self.environment, **settings, "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def distributions(self) -> set[str]:
        """Names of the installed distributions, as in the package index."""
        found = self.prefix.glob("lib/python*/site-packages/*.dist-info")
        return {path.name.partition("-")[0].lower().replace("_", "-") for path in found}

    def packages(self) -> set[str]:
        """Top-level packages that are importable."""
        found = self.prefix.glob("lib/python*/site-packages/*/")
        return {path.name for path in found if path.is_dir() and not path.name.endswith(".dist-info")}


def build_context(project: Path, target: Path) -> Path:
    """Copy to `target` what a builder would be sent of the project."""
    rules = (project / ".dockerignore").read_text().splitlines()
    for name in exclude_paths(project, [rule for rule in rules if rule and not rule.startswith("#")]):
        if (project / name).is_file() and name != ".dockerignore":  # that one is for the builder alone
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(project / name, target / name)
    return target


def build(dockerfile: str, context: Path, directory: Path, tools: Path) -> BuiltImage:
    """Carry out all stages below `directory`; only what the last stage copies is left. Raises BuildError.

    Steps that fill `tools` alone are not repeated there, as a builder would not.
    """
    places = {"TOOLS": str(tools), "TANDEM": str(directory / "image" / "tandem")}
    source = directory / "stage"
    source.mkdir()
    *firsts, last = stages(dockerfile)
    for stage in firsts:
        assert {command.cmd for command in stage} <= {"FROM", "ARG", "WORKDIR", "COPY", "RUN"}, "nothing else is tried"
        declared = [command.value[0].partition("=")[0] for command in stage if command.cmd == "ARG"]
        for command in stage:
            if command.cmd == "COPY":
                _copy(command.value, context, source)
            elif command.cmd == "RUN":
                _run(command.value[0], {name: places[name] for name in declared}, source)
    shutil.rmtree(source)
    return _image(last, places["TANDEM"])


def _image(stage: list[Command], prefix: str) -> BuiltImage:
    found = {command.cmd: command for command in stage}
    kept = found["COPY"].flags, found["COPY"].value
    assert kept == (("--from=build",), ("$TANDEM", "$TANDEM")), "the last stage takes the environment and nothing else"
    variables = {"TANDEM": prefix, "PATH": "/usr/bin:/bin"}
    words = [re.sub(r"\$(\w+)", lambda name: variables[name[1]], word) for word in found["ENV"].value]
    environment = dict(zip(words[::2], words[1::2], strict=True))
    return BuiltImage(Path(prefix), found["ENTRYPOINT"].value, found["CMD"].value, environment)


def _copy(words: tuple[str, ...], context: Path, stage: Path) -> None:
    for source in words[:-1]:
        if (context / source).is_dir():
            shutil.copytree(context / source, stage / words[-1], dirs_exist_ok=True)
        elif (context / source).is_file():
            shutil.copy(context / source, stage / words[-1])
        else:
            raise BuildError(f"COPY {source}: it is not in the build context")


def _run(step: str, given: Mapping[str, str], stage: Path) -> None:
    assert not re.search(r"(^|[\s=:])/\w", step), f"RUN {step}: an absolute path must be an ARG to be tried here"
    done = Path(f"{given['TOOLS']}.{hashlib.sha256(step.encode()).hexdigest()}")
    if done.exists():
        return
    # The image has `python` on its path. No link: an environment made through one looks for its library beside it.
    python = stage.parent / "shims" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} "$@"\n')
    python.chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "PYTHON"))}
    environment = {**kept, **given, "PATH": f"{python.parent}:/usr/bin:/bin"}
    shell = ["/bin/sh", "-euc", step]
    ran = subprocess.run(shell, cwd=stage, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise BuildError(f"RUN {step}: exit code {ran.returncode}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    if "$TANDEM" not in step and "wheels" not in step:
        done.touch()
