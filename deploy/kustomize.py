"""Renders the part of Kustomize that our manifests use, so that they can be checked where no `kubectl` is.

`kubectl apply -k` is what deploys. A field of a kustomization that is not known here is refused, never passed over.
Known: resources, namespace, nameSuffix (of Jobs), images (newName, newTag), patches (files of strategic merges).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.yaml_files import load

Manifest = dict[str, Any]
CLUSTER_WIDE = {"Namespace"}
#: Lists whose items Kubernetes merges by a key.
MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
}
#: Lists that a patch replaces, beside those of plain values.
REPLACED = {"metrics", "egress", "ingress"}


class KustomizationError(Exception):
    """A kustomization that cannot be rendered; the message names the file and the field."""


def render(directory: Path) -> list[Manifest]:
    """All manifests of the kustomization in `directory`, as `kubectl kustomize` gives them, in no particular order."""
    path = directory / "kustomization.yaml"
    (kustomization,) = load(path)
    unknown = kustomization.keys() - {"apiVersion", "kind", "resources", *_STEPS}
    if unknown:
        raise KustomizationError(f"{path}: {', '.join(sorted(unknown))} cannot be rendered here")
    manifests: list[Manifest] = []
    for name in kustomization.get("resources", []):
        resource = directory / name
        manifests += render(resource) if resource.is_dir() else load(resource)
    for field, step in _STEPS.items():
        if field in kustomization:
            step(manifests, kustomization[field], path)
    return manifests


def _set_namespace(manifests: list[Manifest], namespace: Any, _path: Path) -> None:
    for manifest in manifests:
        if manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = namespace


def _set_name_suffix(manifests: list[Manifest], suffix: Any, path: Path) -> None:
    for manifest in manifests:
        if manifest["kind"] != "Job":  # nothing names a Job; a reference to anything else would change with it
            raise KustomizationError(f"{path}: nameSuffix may only rename Jobs here, not {manifest['kind']}")
        manifest["metadata"]["name"] += suffix


def _apply_patches(manifests: list[Manifest], patches: Any, path: Path) -> None:
    for entry in patches:
        if entry.keys() != {"path"}:
            raise KustomizationError(f"{path}: a patch must be a file given by `path`")
        for patch in load(path.parent / entry["path"]):
            target = _only(manifests, patch["kind"], patch["metadata"]["name"], path)
            target.update(_merged(target, patch))


def _merged(value: Any, patch: Any, field: str = "") -> Any:
    if isinstance(value, dict) and isinstance(patch, dict):
        merged = dict(value)
        for name, part in patch.items():
            if part is None:
                merged.pop(name, None)
            else:
                merged[name] = _merged(merged[name], part, name) if name in merged else copy.deepcopy(part)
        return merged
    key = MERGE_KEYS.get(field)
    if key and isinstance(value, list) and isinstance(patch, list):
        # What the patch names comes first, in its order: also where order matters, as with init containers.
        present = {item[key]: item for item in value}
        named = [_merged(present.get(item[key], {}), item) for item in patch]
        return named + [item for item in value if item[key] not in {each[key] for each in named}]
    if isinstance(patch, list) and any(isinstance(item, dict) for item in patch) and field not in REPLACED:
        raise KustomizationError(f"how a patch of {field} is merged is not known here")
    return copy.deepcopy(patch)


def _set_images(manifests: list[Manifest], images: Any, path: Path) -> None:
    for image in images:
        if image.keys() - {"name", "newName", "newTag"}:
            raise KustomizationError(f"{path}: images may have name, newName and newTag here")
        for container in (found for manifest in manifests for found in _containers(manifest)):
            registry, slash, last = container["image"].rpartition("/")
            last, _, tag = last.partition(":")
            if registry + slash + last == image["name"]:
                tag = image.get("newTag", tag)
                container["image"] = image.get("newName", image["name"]) + (f":{tag}" if tag else "")


def _containers(value: Any) -> list[Manifest]:
    found: list[Manifest] = []
    if isinstance(value, dict):
        for name, part in value.items():
            found += part if name in {"containers", "initContainers"} else _containers(part)
    elif isinstance(value, list):
        found += [container for part in value for container in _containers(part)]
    return found


def _only(manifests: list[Manifest], kind: str, name: str, path: Path) -> Manifest:
    found = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    if len(found) != 1:
        raise KustomizationError(f"{path}: {len(found)} manifests are {kind} {name}, one is needed")
    return found[0]


#: In the order in which Kustomize applies them.
_STEPS: dict[str, Callable[[list[Manifest], Any, Path], None]] = {
    "patches": _apply_patches,
    "namespace": _set_namespace,
    "nameSuffix": _set_name_suffix,
    "images": _set_images,
}
