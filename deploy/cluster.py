"""Model what rendered manifests will run: pods, their containers, and who selects whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deploy.manifests import Manifest

#: Image -> the package that it runs. Every other image is a store of the local overlay.
OUR_IMAGES = {
    "tandem-command": "command_service",
    "tandem-query": "query_service",
    "tandem-relay": "relay",
    "tandem-audit": "audit",
}
NAME_LABEL = "app.kubernetes.io/name"
WORKLOADS = {"Deployment", "StatefulSet", "Job"}


class Container:
    """One container of a pod.

    `role` is `main`, `init`, or `sidecar` (an init container that keeps running). `place` is how a fault names it.
    `image` is a name without registry, and a tag. `package` is which of ours it runs, None for a store. `ports` are
    those with a name; `environment` are the variables given as plain values.
    """

    def __init__(self, pod: Pod, spec: Mapping[str, Any], role: str) -> None:
        self.pod, self.spec, self.role = pod, spec, role
        self.name: str = spec["name"]
        self.place = f"{pod.name} {self.name}"
        self.image = image_parts(spec["image"])
        self.package = OUR_IMAGES.get(self.image[0])
        self.ports: dict[str, int] = {port["name"]: port["containerPort"] for port in spec.get("ports", [])}
        self.environment = {entry["name"]: str(entry.get("value", "")) for entry in spec.get("env", [])}


class Pod:
    """The pods of one workload.

    `owner` is the workload's manifest, `name` its `Kind/name`. `labels` are what selectors see, `app` is the name
    among them. `spec` is the pod's own; `containers` come in the order in which they start, and `ports` and `secrets`
    (names of mounted Secrets) are those of all. `ours` says whether it runs one of our images.
    """

    def __init__(self, owner: Manifest) -> None:
        self.owner, self.name = owner, title(owner)
        self.kind: str = owner["kind"]
        self.namespace: str = owner["metadata"]["namespace"]
        self.labels: Mapping[str, str] = owner["spec"]["template"]["metadata"].get("labels", {})
        self.app = self.labels.get(NAME_LABEL, "")
        self.spec: Mapping[str, Any] = owner["spec"]["template"]["spec"]
        first = [
            Container(self, spec, "sidecar" if spec.get("restartPolicy") == "Always" else "init")
            for spec in self.spec.get("initContainers", [])
        ]
        self.containers = first + [Container(self, spec, "main") for spec in self.spec["containers"]]
        self.ports = {name: port for container in self.containers for name, port in container.ports.items()}
        self.secrets = {name for volume in self.spec.get("volumes", []) for name in mounted_secrets(volume)}
        self.ours = any(container.package for container in self.containers)


@dataclass(frozen=True)
class Cluster:
    """Everything one overlay would apply. `outside_secrets`: Secret -> keys that someone else provides."""

    manifests: list[Manifest]
    outside_secrets: Mapping[str, frozenset[str]]

    def of(self, kind: str, namespace: str | None = None) -> Iterator[Manifest]:
        """List the manifests of one kind, in one namespace or in all."""
        for manifest in self.manifests:
            if manifest["kind"] == kind and namespace in (None, manifest["metadata"].get("namespace")):
                yield manifest

    @cached_property
    def pods(self) -> list[Pod]:
        """The pods of all workloads."""
        return [Pod(manifest) for manifest in self.manifests if manifest["kind"] in WORKLOADS]

    @property
    def containers(self) -> list[Container]:
        """The containers of all pods."""
        return [container for pod in self.pods for container in pod.containers]

    def selected(self, selector: Mapping[str, Any], namespace: str) -> list[Pod]:
        """List the pods that a selector takes in a namespace."""
        return [pod for pod in self.pods if pod.namespace == namespace and matches(selector, pod.labels)]


def image_parts(image: str) -> tuple[str, str]:
    """Split an image into its name without registry, and its tag."""
    name, _, tag = image.rpartition("/")[2].partition(":")
    return name, tag


def mounted_secrets(volume: Mapping[str, Any]) -> dict[str, list[Mapping[str, str]]]:
    """Map each Secret that a volume shows as files to its `items` (key, path); no items stand for all keys."""
    parts = volume.get("projected", {}).get("sources", [volume])
    secrets = [part["secret"] for part in parts if "secret" in part]
    return {secret.get("secretName") or secret["name"]: secret.get("items", []) for secret in secrets}


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Say whether a selector takes these labels; the empty selector takes all. Only `matchLabels` is used here."""
    if selector.keys() - {"matchLabels"}:
        raise ValueError(f"only matchLabels can be judged: {selector}")
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def title(manifest: Manifest) -> str:
    """Name a manifest as `Kind/name`."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"
