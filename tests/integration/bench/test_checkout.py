"""The processes of another commit run its files, not those of the working tree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.harness.checkout import WORKING_TREE, Checkout, _remove_what_was_left, checked_out
from bench.harness.rounds import NotMeasured
from bench.harness.settings import PROJECT
from tests.support.source_mutants import Mutant, noticed


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


#: A bench with a checkout, which says where that is. `{prelude}` may hold a mutant.
BENCH = """
import asyncio, contextlib, bench.harness.checkout as checkout
{prelude}
async def main():
    with checkout.checked_out("HEAD") as before:
        print(before.folder, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def folder_after(number: signal.Signals, prelude: str = "") -> Path:
    """The folder of a bench that has got a signal and has ended."""
    command = [sys.executable, "-c", BENCH.format(prelude=prelude)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as bench:
        assert bench.stdout is not None
        folder = Path(bench.stdout.readline().strip())
        assert folder.is_dir()
        bench.send_signal(number)
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_bench_that_is_ended_leaves_no_checkout(number: signal.Signals) -> None:
    assert not folder_after(number).parent.exists()


def test_what_a_killed_bench_left_is_removed_by_the_next() -> None:
    left = folder_after(signal.SIGKILL)
    assert left.exists()
    with checked_out("HEAD"):
        assert not left.parent.exists()


@pytest.mark.long
@pytest.mark.mutant
def test_mutants_that_leave_a_checkout_are_noticed() -> None:
    dying = "import contextlib; checkout._ended_in_order = contextlib.nullcontext"
    assert folder_after(signal.SIGTERM, dying).exists()
    with noticed(Mutant(_remove_what_was_left, "not _runs(int(process))", "False")):
        test_what_a_killed_bench_left_is_removed_by_the_next()
    _remove_what_was_left()
