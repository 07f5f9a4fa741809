"""Runs the services of another commit beside those of the working tree, with the same environment of Python."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.harness.rounds import NotMeasured
from bench.harness.settings import PROJECT


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of a commit in a folder. `name` is the commit's short name."""

    name: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which `python -m` runs the modules of this folder."""
        return {"PYTHONPATH": os.pathsep.join(str(path) for path in (self.folder, self.folder / "protos"))}


WORKING_TREE = Checkout("the working tree", PROJECT)


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Checkout]:
    """Checks a commit out into a folder of its own, which is removed afterwards.

    `commit` is everything that git takes for one. Raises NotMeasured if git does not know it.
    """
    name = _git("rev-parse", "--short", "--verify", "--end-of-options", f"{commit}^{{commit}}")
    with tempfile.TemporaryDirectory(prefix="tandem-before-") as parent:
        folder = Path(parent) / name
        _git("worktree", "prune")  # what a killed run left behind
        _git("worktree", "add", "--quiet", "--detach", str(folder), name)
        try:
            yield Checkout(name, folder)
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise NotMeasured(f"git {arguments[0]}: {ran.stderr.strip() or ran.returncode}")
    return ran.stdout.strip()
