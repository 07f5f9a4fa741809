"""Documents name only what exists: files, directories, links and make targets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/**/*.md", "protos/*.md", "tests/**/*.md", "relay/*.md", "bench/**/*.md")
    for path in PROJECT.glob(pattern)
    if ".venv" not in path.parts
]
TOP = "protos|command_service|relay|query_service|service_runtime|devstack|tests|bench|deploy|docs|console"
CODE_PATH = re.compile(rf"`((?:{TOP})/[\w./-]*)`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
TARGET = re.compile(r"(?:^|`)make ([a-z-]+)", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    missing = [name for name in CODE_PATH.findall(text) if not (PROJECT / name).exists()]
    missing += [name for name in LINK.findall(text) if not (document.parent / name).exists()]
    missing += [f"make {name}" for name in TARGET.findall(text) if name not in targets]
    assert missing == []


STEP = re.compile(r"`([\w/]+):([\w.]+)`")
#: The most functions that a request or an event may pass through on its way.
WAYS = {"an order": 60, "an event": 30, "a projection": 30, "a search": 45}


def ways() -> dict[str, list[tuple[str, str]]]:
    """What passes through what, as the architecture's page lists it: module and function of each step."""
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sections = re.split(r"^## The way of ", text, flags=re.MULTILINE)[1:]
    return {section.split("\n")[0]: STEP.findall(section.split("\n## ")[0]) for section in sections}


def functions(node: ast.AST, prefix: str = "") -> Iterator[str]:
    """Names of all functions and methods below a node, those inside others as `outer.inner`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not isinstance(child, ast.ClassDef):
                yield f"{prefix}{child.name}"
            yield from functions(child, f"{prefix}{child.name}.")
        else:
            yield from functions(child, prefix)


@pytest.mark.parametrize("way", ways())
def test_each_step_of_a_way_is_a_function(way: str) -> None:
    steps = ways()[way]
    assert 0 < len(steps) <= WAYS[way]
    modules = {module: ast.parse((PROJECT / f"{module}.py").read_text()) for module, _ in steps}
    assert [step for step in steps if step[1] not in functions(modules[step[0]])] == []
