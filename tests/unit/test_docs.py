"""Documents name only what exists: files, directories, links and make targets."""

from __future__ import annotations

import re
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
