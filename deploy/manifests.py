"""Read YAML as Kubernetes would get it: manifests as `kubectl` renders them, and no key twice in a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Manifest = dict[str, Any]
#: `make install` brings it: what is on the caller's path may be older than what it is to judge.
KUBECTL = Path(sys.executable).with_name("kubectl")


class RenderError(Exception):
    """Kustomize refuses a kustomization; the message is its own."""


def load(text: str) -> list[Any]:
    """Read the documents of a YAML text; raises ruamel's DuplicateKeyError, where most readers take the last value."""
    return [document for document in YAML(typ="safe").load_all(text) if document]


def render(directory: Path) -> list[Manifest]:
    """Render the kustomization of a directory: all manifests that `kubectl apply -k` would send."""
    ran = subprocess.run([KUBECTL, "kustomize", directory], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RenderError(f"{directory}: {ran.stderr.strip()}")
    return load(ran.stdout)
