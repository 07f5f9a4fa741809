"""What type checkers say to a caller who has installed the contract with its extra `typing`, and nothing else.

mypy, pyright (as basedpyright, whose wheel brings what it runs on) and ty read the same files: the contract's own
modules and right calls, of which they must find nothing, and wrong calls, of which they must find each.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CALLERS = Path(__file__).parent / "callers"
CHECKERS = PROJECT / ".venv" / "checkers"
LINES = (CALLERS / "wrong_calls.py").read_text().splitlines()
WRONG = {number for number, line in enumerate(LINES, start=1) if line.endswith("# refused")}
pytestmark = pytest.mark.skipif(
    not (CHECKERS / ".installed").exists() and not os.environ.get("TANDEM_TEST_REQUIRE"),
    reason="the type checkers' environment is missing: run `make test` once",
)


def block(path: Path, language: str, begins: str) -> str:
    """The fenced block of a page that begins with a text."""
    match = re.search(rf"^```{language}\n({re.escape(begins)}.*?)```$", path.read_text(), re.DOTALL | re.MULTILINE)
    assert match, f"{path.name} has no block that begins with {begins}"
    return match[1]


@dataclass(frozen=True)
class Caller:
    """Somebody's project and the environment that it runs in."""

    project: Path
    environment: Path

    @property
    def contract(self) -> list[Path]:
        """The contract's modules as installed, but for what is generated."""
        (installed,) = self.environment.glob("lib/python*/site-packages/tandem")
        return sorted(path for path in installed.rglob("*.py") if "_pb2" not in path.name)


def run(*command: str | Path, cwd: Path) -> str:
    """What a program says. Type checkers end with 1 when they find something."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def installed(directory: Path, extra: str) -> Caller:
    """Builds the contract's wheel and installs it, in the versions that are locked here."""
    source, project, environment = (directory / name for name in ("source", "project", "environment"))
    shutil.copytree(PROJECT / "protos", source)
    uv = Path(sys.executable).parent / "uv"
    python = environment / "bin" / "python"
    locked = ("-c", PROJECT / "requirements" / "dev.lock")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, environment], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", python, f"{source}{extra}", *locked], check=True)
    shutil.copytree(CALLERS, project)
    (project / "readme_example.py").write_text(block(PROJECT / "README.md", "python", "import sys\n"))
    return Caller(project, environment)


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A caller as the README wants them."""
    return installed(tmp_path_factory.mktemp("caller"), "[typing]")


def mypy(caller: Caller) -> str:
    """As `protos/README.md` says to set it up."""
    settings = block(PROJECT / "protos" / "README.md", "", "[mypy-google")
    (caller.project / "mypy.ini").write_text(f"[mypy]\nstrict = True\n\n{settings}")
    python = ("--python-executable", caller.environment / "bin" / "python")
    program = (sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", *python)
    contract = run(*program, "-p", "tandem", cwd=caller.project)
    return contract + run(*program, *caller.project.glob("*.py"), cwd=caller.project)


def pyright(caller: Caller) -> str:
    """In strict mode."""
    files = [str(path) for path in (caller.project, *caller.contract)]
    place = {"venvPath": str(caller.environment.parent), "venv": caller.environment.name}
    settings = {"typeCheckingMode": "strict", "include": files, **place}
    (caller.project / "pyrightconfig.json").write_text(json.dumps(settings))
    found = json.loads(run(CHECKERS / "bin" / "basedpyright", "--outputjson", cwd=caller.project))
    return "\n".join(
        f"{one['file']}:{one['range']['start']['line'] + 1}: {one['message']}" for one in found["generalDiagnostics"]
    )


def ty(caller: Caller) -> str:
    """As it comes."""
    files = (caller.project, *caller.contract)
    options = ("--python", caller.environment, "--output-format", "concise", "--no-progress")
    return run(CHECKERS / "bin" / "ty", "check", *options, *files, cwd=caller.project)


@dataclass(frozen=True)
class Findings:
    """What a checker finds, as lines of text by file and line number."""

    by_line: Mapping[tuple[str, int], str]

    @classmethod
    def read(cls, output: str) -> Findings:
        """Reads `path:line: message`, with or without a column."""
        lines = re.findall(r"^(\S+\.pyi?):(\d+):(?:\d+:)? *(?!note:)(.*)$", output, re.MULTILINE)
        return cls({(Path(path).name, int(line)): f"{path}:{line}: {message}" for path, line, message in lines})

    def outside(self, *names: str) -> Sequence[str]:
        """Findings in other files than these."""
        return [text for (name, _), text in self.by_line.items() if name not in names]

    def lines(self, name: str) -> set[int]:
        """Of one file."""
        return {line for file, line in self.by_line if file == name}


@pytest.fixture(scope="module", params=[mypy, pyright, ty], ids=lambda checker: checker.__name__)
def findings(request: pytest.FixtureRequest, caller: Caller) -> Findings:
    """Of one checker."""
    return Findings.read(request.param(caller))


def test_a_right_caller_and_the_contract_itself_are_clean(findings: Findings) -> None:
    assert findings.outside("wrong_calls.py") == []


def test_every_wrong_call_is_refused_and_nothing_beside_it(findings: Findings) -> None:
    found = findings.lines("wrong_calls.py")
    assert [LINES[line - 1] for line in sorted(WRONG - found)] == []
    assert [findings.by_line["wrong_calls.py", line] for line in sorted(found - WRONG)] == []


@pytest.mark.mutant
def test_without_the_extra_wrong_calls_pass(tmp_path: Path) -> None:
    found = Findings.read(ty(installed(tmp_path, ""))).lines("wrong_calls.py")
    assert "    print(commands.PlaceOrder(get))  # refused" in {LINES[line - 1] for line in WRONG - found}
