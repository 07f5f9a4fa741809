"""Checks everything that is shipped: `python -m deploy.validate`. Exit code 1 and one sentence per fault when it fails.

Offline: the schemas of Kubernetes and of compose files come from installed packages. `make verify` runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]

from deploy import compose_file, images
from deploy.cluster import Cluster, title
from deploy.kustomize import Manifest, render
from deploy.outside_secrets import OUTSIDE_SECRETS
from deploy.policies import POLICIES
from deploy.policies import faults as policy_faults

PROJECT = Path(__file__).parents[1]
OVERLAYS = PROJECT / "deploy" / "k8s" / "overlays"
#: The oldest Kubernetes we support and the newest we know.
KUBERNETES_VERSIONS = ("1.33", "1.37")


def schema_faults(manifests: list[Manifest], version: str) -> Iterator[str]:
    """What the API server of a Kubernetes version would refuse or drop: unknown fields, missing fields, wrong types."""
    for manifest in manifests:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(str(part) for part in error.absolute_path)
            yield f"{title(manifest)}: {path}: {error.message} (Kubernetes {version})"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{title(manifest)}: {error.message}"


def cluster(overlay: str) -> Cluster:
    """What an overlay would apply. The local one brings its secrets, the others get them from outside."""
    return Cluster(render(OVERLAYS / overlay), {} if overlay == "local" else OUTSIDE_SECRETS)


def faults() -> dict[str, list[str]]:
    """What was checked -> its faults."""
    found: dict[str, list[str]] = {}
    for overlay in sorted(path.name for path in OVERLAYS.iterdir()):
        rendered = cluster(overlay)
        for version in KUBERNETES_VERSIONS:
            title_of = f"deploy/k8s/overlays/{overlay}: {len(rendered.manifests)} manifests, Kubernetes {version}"
            found[title_of] = list(schema_faults(rendered.manifests, version))
        found[f"deploy/k8s/overlays/{overlay}: {len(POLICIES)} policies"] = policy_faults(rendered)
    for package in images.IMAGES:
        found[f"{package}/Dockerfile"] = list(images.faults((PROJECT / package / "Dockerfile").read_text(), package))
    compose: dict[str, Any] = compose_file.read(PROJECT / "docker-compose.yml", {})
    found["docker-compose.yml"] = [*compose_file.schema_faults(compose), *compose_file.faults(compose)]
    return found


def main() -> int:
    """Prints what was checked and what is wrong; returns the exit code."""
    found = faults()
    for what, wrong in found.items():
        sys.stdout.write(f"{'ok  ' if not wrong else 'FAIL'} {what}\n")
        for fault in wrong:
            sys.stdout.write(f"     {fault}\n")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
