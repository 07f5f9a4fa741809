"""Whoever interrupts `make test`, at whatever moment, finds no process of it afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from devstack import leave_nothing

PROJECT = Path(__file__).parents[2]
FAULTS = PROJECT / "tests" / "support" / "faults"
STUBBORN = [sys.executable, str(FAULTS / "stubborn_tests.py")]
INT, TERM, HUP, QUIT, KILL = (
    int(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL)
)
#: Seconds or None (when everything is started), signal, whom.
Signals = Sequence[tuple[float | None, int, str]]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans over")


def interrupted(signals: Signals, command: list[str], directory: Path, **environment: str) -> dict[str, Any]:
    """Runs and interrupts a command; see `interrupted_run.py`."""
    # What tells of the run that this test belongs to is not for the other one.
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTEST_"))}
    run = subprocess.run(
        [sys.executable, str(FAULTS / "interrupted_run.py"), json.dumps(signals), *command],
        cwd=PROJECT,
        env={**outer, "STUBBORN_MARK": str(directory / "mark"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    outcome: dict[str, Any] = json.loads(run.stdout)
    outcome["told"] = run.stderr
    return outcome


def watched(directory: Path, *command: str, without: str = "", command_seconds: float = 600.0) -> list[str]:
    """A command under `leave_nothing`, which is impatient with orphans and has a piece of its code switched off."""
    source = Path(leave_nothing.__file__).read_text()
    for piece, other in (
        ("ORPHANS_SECONDS = 6.0", "ORPHANS_SECONDS = 0.2"),
        ("COMMAND_SECONDS = 60.0", f"COMMAND_SECONDS = {command_seconds}"),
        (without, "pass"),
    ):
        if piece:
            assert source.count(piece) == 1, piece
            source = source.replace(piece, other)
    copy = directory / "leave_nothing.py"
    copy.write_text(source)
    return [sys.executable, str(copy), *(command or STUBBORN)]


@pytest.mark.parametrize(
    "signals",
    [
        [(None, INT, "group")],
        [(None, TERM, "process")],
        [(None, HUP, "process")],
        [(None, HUP, "group")],
        [(None, QUIT, "group")],
        # A command that is just starting may miss the first Ctrl-C. Whoever sees that nothing happens presses again.
        [(0.3, INT, "group"), (20.0, INT, "group")],
    ],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP", "a closed terminal", "Ctrl-backslash", "Ctrl-C early"],
)
def test_nothing_is_left(signals: Signals, tmp_path: Path) -> None:
    outcome = interrupted(signals, watched(tmp_path), tmp_path)
    assert outcome["left"] == [], outcome
    assert outcome["status"] != 0


def test_what_is_left_at_a_good_end_is_ended_and_named(tmp_path: Path) -> None:
    outcome = interrupted([], watched(tmp_path), tmp_path, STUBBORN_ENDS="1")
    assert outcome["left"] == [], outcome
    assert outcome["status"] == 7
    assert "killed what did not end by itself" in outcome["told"]


DEAF = """
import os, pathlib, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
pathlib.Path(os.environ["STUBBORN_MARK"]).write_text("0\\n1\\n")
time.sleep(9e6)
"""


@pytest.mark.parametrize(
    ("signals", "command_seconds"),
    [([(None, INT, "group")], 0.2), ([(None, INT, "group"), (0.2, INT, "group")], 600.0)],
    ids=["in time", "by a second Ctrl-C"],
)
def test_a_command_that_hears_nothing_is_ended(signals: Signals, command_seconds: float, tmp_path: Path) -> None:
    command = watched(tmp_path, sys.executable, "-c", DEAF, command_seconds=command_seconds)
    outcome = interrupted(signals, command, tmp_path)
    assert (outcome["status"], outcome["left"]) == (128 + KILL, [])


@pytest.mark.mutant
@pytest.mark.parametrize(
    "without",
    ["ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)", "run.until_alone()"],
    ids=["orphans are not handed over", "nothing is waited for and killed"],
)
def test_mutants_are_noticed(without: str, tmp_path: Path) -> None:
    assert interrupted([(None, INT, "group")], watched(tmp_path, without=without), tmp_path)["left"] != []


#: Ends by itself a while after it has said that it runs.
ENDS = """
import os, pathlib, time
pathlib.Path(os.environ["STUBBORN_MARK"]).write_text("0\\n1\\n")
time.sleep(1)
raise SystemExit(3)
"""


@pytest.mark.parametrize(("begun_by", "status"), [(["nohup"], 3), ([], 128 + INT)], ids=["nohup", "as usual"])
def test_a_run_outlives_its_terminal_where_that_was_wished(begun_by: list[str], status: int, tmp_path: Path) -> None:
    command = [*begun_by, *watched(tmp_path, sys.executable, "-c", ENDS)]
    outcome = interrupted([(None, HUP, "process")], command, tmp_path)
    assert outcome["status"] == status, outcome


def test_one_that_a_shell_began_in_the_background_is_ended_by_sigterm(tmp_path: Path) -> None:
    """Such a shell has it ignore Ctrl-C, as which SIGTERM is passed on."""
    command = ["sh", "-c", 'trap "" INT; exec "$0" "$@"', *watched(tmp_path, sys.executable, "-c", ENDS)]
    assert interrupted([(None, TERM, "process")], command, tmp_path)["status"] == 128 + INT


def test_a_command_runs_as_without(tmp_path: Path) -> None:
    for status, program in (
        (0, "pass"),
        (3, "raise SystemExit(3)"),
        (128 + KILL, "import os; os.kill(os.getpid(), 9)"),
    ):
        assert interrupted([], watched(tmp_path, sys.executable, "-c", program), tmp_path)["status"] == status


def make() -> list[str]:
    """`make test` of the stubborn tests, each in a worker of its own."""
    return ["make", "test", "TESTS=support/faults/stubborn_tests.py", "WORKERS=2", "PYTEST_ARGS=--dist=load"]


def test_ctrl_c_of_make_test_leaves_nothing(tmp_path: Path) -> None:
    outcome = interrupted([(None, INT, "group")], make(), tmp_path)
    assert outcome["left"] == [], outcome
    assert (tmp_path / "mark").exists()


@pytest.mark.long
def test_ctrl_c_of_make_test_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    source = random.Random(seed)
    for number in range(12):
        moment = source.choice((source.uniform(0.1, 3), source.uniform(0.1, 20), None))
        directory = tmp_path / str(number)
        directory.mkdir()
        again = [(source.uniform(0.1, 3), INT, "group")] if source.random() < 0.3 else []
        print(f"{number}: interrupted after {moment} s{', twice' if again else ''}", flush=True)
        outcome = interrupted([(moment, INT, "group"), *again], make(), directory)
        assert outcome["left"] == [], outcome
