"""The processes of another commit run its files, not those of the working tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.harness.checkout import WORKING_TREE, Checkout, checked_out
from bench.harness.rounds import NotMeasured
from bench.harness.settings import PROJECT


def imported(checkout: Checkout) -> list[Path]:
    """The files of the packages that a process of the checkout imports."""
    modules = "relay", "command_service", "tandem.orders.errors"
    program = "\n".join(f"import {module}; print({module}.__file__)" for module in modules)
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], **checkout.environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(line) for line in ran.stdout.splitlines()]


def test_a_commit_runs_its_own_files() -> None:
    with checked_out("HEAD") as before:
        assert all(file.is_relative_to(before.folder) for file in imported(before))
        assert all(file.is_relative_to(PROJECT) for file in imported(WORKING_TREE))
    assert not before.folder.exists()
    listed = subprocess.run(["git", "worktree", "list"], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert str(before.folder) not in listed.stdout


def test_a_commit_that_git_does_not_know_is_not_measured() -> None:
    with pytest.raises(NotMeasured, match="git rev-parse"), checked_out("no-such-commit"):
        pass
