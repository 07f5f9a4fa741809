"""Carries out a Dockerfile's instructions on this machine, in a directory, with only what `.dockerignore` lets in.

Paths that an image has at fixed places are `ARG`s, given here; a `RUN` that names another absolute path is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.dockerfile import Stage, parse

_STARTS = ("ENTRYPOINT", "CMD")


class BuildError(Exception):
    """A step failed; the message ends with what it said."""


@dataclass
class BuiltImage:
    """What would run: `python` of the image's environment and the words to start it with."""

    prefix: Path
    entrypoint: list[str]
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Runs the entry point with `settings` as its whole environment, in an empty directory it cannot rely on."""
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


def ignored(name: str, rules: list[str]) -> bool:
    """Whether `.dockerignore` keeps the file `name` out: the last rule that matches it or a parent of it decides."""
    out = False
    for rule in rules:
        pattern = re.escape(rule.removeprefix("!"))
        pattern = pattern.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(f"{pattern}(?:/.*)?", name):
            out = not rule.startswith("!")
    return out


def build_context(project: Path, target: Path) -> Path:
    """Copies to `target` what a builder would be sent of the project."""
    rules = [line for line in (project / ".dockerignore").read_text().split("\n") if line and not line.startswith("#")]
    for entry in project.iterdir():
        if ignored(entry.name, rules) and not any(rule.startswith(f"!{entry.name}/") for rule in rules):
            continue
        for path in entry.rglob("*") if entry.is_dir() else [entry]:
            name = path.relative_to(project).as_posix()
            if path.is_file() and not ignored(name, rules):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / name)
    return target


def build(dockerfile: str, context: Path, directory: Path, tools: Path) -> BuiltImage:
    """Carries out all stages below `directory`; only what the last stage copies is left. Raises BuildError.

    Steps that fill `tools` alone are not repeated there, as a builder would not.
    """
    places = {"TOOLS": str(tools), "TANDEM": str(directory / "image" / "tandem")}
    stages = parse(dockerfile)
    for stage in stages:
        variables: dict[str, str] = {}
        for instruction in stage.instructions:
            _STEPS.get(instruction.keyword, _nothing)(instruction.value, variables, places, context, directory)
    shutil.rmtree(directory / "stage")
    return _image(stages[-1], variables, Path(places["TANDEM"]))


def _image(stage: Stage, variables: Mapping[str, str], prefix: Path) -> BuiltImage:
    kept = [place for copy in stage.of("COPY") for place in copy.value.split()[-1:]]
    assert kept == ["$TANDEM"], "the last stage takes the environment and nothing else"
    entrypoint, command = ((found.exec_form if found else None) or [] for found in map(stage.last, _STARTS))
    environment = {name: value for name, value in variables.items() if name not in {"TANDEM", "TOOLS"}}
    return BuiltImage(prefix, entrypoint, command, environment)


def _expand(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], ""), text)


def _arg(value: str, variables: dict[str, str], places: Mapping[str, str], _context: Path, _directory: Path) -> None:
    name, _, default = value.partition("=")
    variables[name] = places.get(name, default)


def _env(value: str, variables: dict[str, str], _places: Mapping[str, str], _context: Path, _directory: Path) -> None:
    for word in shlex.split(value):
        name, _, text = word.partition("=")
        variables[name] = _expand(text, {"PATH": "/usr/bin:/bin", **variables})


def _copy(value: str, _variables: dict[str, str], _places: Mapping[str, str], context: Path, directory: Path) -> None:
    words = value.split()
    if words[0].startswith("--from="):
        return  # the place is the same in both stages here
    for source in words[:-1]:
        target = directory / "stage" / words[-1]
        if (context / source).is_dir():
            shutil.copytree(context / source, target, dirs_exist_ok=True)
        elif (context / source).is_file():
            (directory / "stage").mkdir(parents=True, exist_ok=True)
            shutil.copy(context / source, target)
        else:
            raise BuildError(f"COPY {value}: {source} is not in the build context")


def _run(value: str, variables: dict[str, str], _places: Mapping[str, str], _context: Path, directory: Path) -> None:
    assert not re.search(r"(^|[\s=:])/\w", value), f"RUN {value}: an absolute path must be an ARG to be tried here"
    done = Path(f"{variables['TOOLS']}.{hashlib.sha256(value.encode()).hexdigest()}")
    if done.exists():
        return
    shims = directory / "shims"
    if not shims.exists():
        shims.mkdir()
        # No link: an environment made through a link would look for its library beside it.
        (shims / "python").write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} "$@"\n')
        (shims / "python").chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "PYTHON"))}
    ran = subprocess.run(
        ["/bin/sh", "-euc", value],
        cwd=directory / "stage",
        env={**kept, **variables, "PATH": f"{shims}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise BuildError(f"RUN {value}: exit code {ran.returncode}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    if "$TANDEM" not in value and "wheels" not in value:
        done.touch()


def _nothing(_value: str, _variables: object, _places: object, _context: object, _directory: object) -> None:
    """FROM's base, WORKDIR, USER, EXPOSE and the rest change nothing here."""


_STEPS: Mapping[str, Callable[[str, dict[str, str], Mapping[str, str], Path, Path], None]] = {
    "ARG": _arg,
    "ENV": _env,
    "COPY": _copy,
    "RUN": _run,
}
