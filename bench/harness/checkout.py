"""Runs the services of another commit beside those of the working tree, with the same environment of Python."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.harness.rounds import NotMeasured
from bench.harness.settings import PROJECT

#: How the folder of a checkout begins; after it come the process that made it, and what makes it unique.
_PREFIX = "tandem-before-"
_OF_A_RUN = re.compile(rf"^worktree (.*/{_PREFIX}(\d+)-[^/]*)/[^/]*$", re.MULTILINE)


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

    Meanwhile SIGTERM ends the process as Ctrl-C does, so that the folder is removed then too. What a killed run has
    left behind is removed by the next one. `commit` is everything that git takes for one. Raises NotMeasured if git
    does not know it.
    """
    name = _git("rev-parse", "--short", "--verify", "--end-of-options", f"{commit}^{{commit}}")
    _remove_what_was_left()
    with _ended_in_order(), tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as parent:
        folder = Path(parent) / name
        try:
            _git("worktree", "add", "--quiet", "--detach", str(folder), name)
            yield Checkout(name, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            _git("worktree", "prune")


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Lets SIGTERM do within the block what SIGINT does: tasks are cancelled, and blocks are left."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _remove_what_was_left() -> None:
    """Removes the checkouts of this repository whose process runs no more."""
    for parent, process in _OF_A_RUN.findall(_git("worktree", "list", "--porcelain")):
        if not _runs(int(process)):
            shutil.rmtree(parent, ignore_errors=True)
    _git("worktree", "prune")


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise NotMeasured(f"git {arguments[0]}: {ran.stderr.strip() or ran.returncode}")
    return ran.stdout.strip()
