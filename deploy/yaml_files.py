"""Reads YAML files, more strictly than YAML does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class DuplicateKeyError(Exception):
    """A key stands twice in one mapping; YAML would let the last one win. The message names file, line and key."""


def load(path: Path) -> list[Any]:
    """The documents of one YAML file, empty ones left out."""
    text = path.read_text(encoding="utf-8")
    for node in yaml.compose_all(text, yaml.SafeLoader):
        _refuse_duplicates(node, path)
    return [document for document in yaml.safe_load_all(text) if document]


def _refuse_duplicates(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, path)
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise DuplicateKeyError(f"{path}, line {key.start_mark.line + 1}: {key.value} stands twice")
            seen.add(key.value)
            _refuse_duplicates(value, path)
