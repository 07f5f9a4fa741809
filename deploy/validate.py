"""Check everything that is shipped: `python -m deploy.validate`. Exit code 1 and one sentence a fault when it fails.

Offline: the schemas and the tools come with installed packages. `make verify` runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
from ruamel.yaml.constructor import DuplicateKeyError

from deploy import compose_file, images
from deploy.cluster import Cluster, image_parts, title
from deploy.manifests import Manifest, load, render
from deploy.outside_secrets import OUTSIDE_SECRETS
from deploy.policies import POLICIES
from deploy.policies import faults as policy_faults

PROJECT = Path(__file__).parents[1]
K8S = PROJECT / "deploy" / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
#: The witness of the audit log, which belongs to another cluster and so to no overlay.
WITNESS = K8S / "witness"
#: The oldest Kubernetes we support and the newest we know.
KUBERNETES_VERSIONS = ("1.33", "1.37")


def cluster(overlay: str) -> Cluster:
    """Show what an overlay would apply, and the Jobs that operators create beside it, with names of their release.

    The local overlay brings its secrets, the others get them from outside.
    """
    jobs = [job for path in sorted((K8S / "jobs").iterdir()) for job in load(path.read_text(encoding="utf-8"))]
    for job in jobs:
        _, tag = image_parts(job["spec"]["template"]["spec"]["containers"][0]["image"])
        job["metadata"] |= {"namespace": "tandem", "name": job["metadata"]["generateName"] + tag.replace(".", "-")}
    return Cluster([*render(K8S / "overlays" / overlay), *jobs], {} if overlay == "local" else OUTSIDE_SECRETS)


def witness_cluster() -> Cluster:
    """Show what is applied in the cluster of the witness."""
    return Cluster(render(WITNESS), {})


def schema_faults(manifests: list[Manifest], version: str) -> Iterator[str]:
    """Name what a Kubernetes version would refuse or drop: unknown fields, missing fields, wrong types."""
    for manifest in manifests:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(str(part) for part in error.absolute_path)
            yield f"{title(manifest)}: {path}: {error.message} (Kubernetes {version})"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{title(manifest)}: {error.message}"


def key_faults(directory: Path) -> Iterator[str]:
    """Name each file with a key that appears twice: of patches, Kustomize silently takes the last value."""
    for path in sorted(directory.rglob("*.yaml")):
        try:
            load(path.read_text(encoding="utf-8"))
        except DuplicateKeyError as error:
            yield f"{path.relative_to(directory)}: {error.problem}, {error.problem_mark}"


def faults() -> dict[str, list[str]]:
    """Check all: what was checked -> its faults."""
    found = {"deploy/k8s: each key once": list(key_faults(K8S))}
    shipped = {f"deploy/k8s/overlays/{overlay}": cluster(overlay) for overlay in OVERLAYS}
    for place, rendered in {**shipped, "deploy/k8s/witness": witness_cluster()}.items():
        for version in KUBERNETES_VERSIONS:
            what = f"{place}: {len(rendered.manifests)} manifests, Kubernetes {version}"
            found[what] = list(schema_faults(rendered.manifests, version))
        found[f"{place}: {len(POLICIES)} policies"] = policy_faults(rendered)
    for package in images.IMAGES:
        found[f"{package}/Dockerfile"] = list(images.faults((PROJECT / package / "Dockerfile").read_text(), package))
    compose = compose_file.read((PROJECT / "docker-compose.yml").read_text(), {})
    found["docker-compose.yml"] = list(compose_file.schema_faults(compose)) or list(compose_file.faults(compose))
    return found


def main() -> int:
    """Print what was checked and what is wrong; return the exit code."""
    found = faults()
    for what, wrong in found.items():
        sys.stdout.write("".join([f"{'FAIL' if wrong else 'ok  '} {what}\n", *(f"     {fault}\n" for fault in wrong)]))
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
