"""House rules that no linter knows: sizes, names, documentation, and what a commit may never contain."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MAX_LINES = 400
MAX_README_LINES = 150
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "base"}
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")


def tracked(*suffixes: str) -> list[Path]:
    """Files under version control with one of the suffixes, generated ones left out."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    paths = [PROJECT / name for name in names if name.endswith(suffixes) and not GENERATED.search(name)]
    return [path for path in paths if path.is_file()]


PYTHON = tracked(".py")


def test_no_module_is_too_long() -> None:
    long = {str(path.relative_to(PROJECT)): len(path.read_text().splitlines()) for path in PYTHON}
    assert {name: lines for name, lines in long.items() if lines > MAX_LINES} == {}


def test_modules_are_small_on_the_whole() -> None:
    sizes = sorted(len(path.read_text().splitlines()) for path in PYTHON if "tests" not in path.parts)
    assert sizes[len(sizes) // 2] <= 125, "half of our modules should be about a hundred lines or less"


def test_names_say_what_is_inside() -> None:
    vague = [str(path) for path in PYTHON if FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.parts[-3:]}]
    assert vague == []


def test_every_module_says_what_it_is() -> None:
    silent = [str(path) for path in PYTHON if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_the_readme_stays_short() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (r"https?://[a-z0-9.-]*(pypi|pythonhosted|npmjs|maven|golang|crates|debian)", "a package registry's host"),
        (r"(?<![\w.])/(work|farm|root)/", "a path of one machine"),
    ],
)
def test_nothing_ties_the_project_to_a_place(pattern: str, what: str) -> None:
    files = tracked(".py", ".md", ".toml", ".lock", ".yaml", ".yml", ".proto", "Makefile", ".ci/run")
    found = [str(path) for path in files if path != Path(__file__) and re.search(pattern, path.read_text())]
    assert found == [], what
