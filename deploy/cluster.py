"""Rendered manifests seen as what will run: pods, their containers, and who selects whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deploy.kustomize import Manifest

#: Our images; everything else is a store of the local overlay.
OUR_IMAGES = {"tandem-command": "command_service", "tandem-query": "query_service", "tandem-relay": "relay"}
NAME_LABEL = "app.kubernetes.io/name"
WORKLOADS = {"Deployment", "StatefulSet", "Job"}


@dataclass(frozen=True)
class Container:
    """One container of a pod. `role` is `main`, `init`, or `sidecar` (an init container that keeps running)."""

    spec: Mapping[str, Any]
    role: str

    @property
    def name(self) -> str:
        """Its name in the pod."""
        return str(self.spec["name"])

    @property
    def image(self) -> tuple[str, str]:
        """Name without registry, and tag."""
        name, _, tag = str(self.spec["image"]).rpartition("/")[2].partition(":")
        return name, tag

    @property
    def ports(self) -> dict[str, int]:
        """Named ports."""
        return {port["name"]: port["containerPort"] for port in self.spec.get("ports", [])}

    @property
    def environment(self) -> dict[str, str]:
        """Variables given as plain values."""
        return {entry["name"]: str(entry.get("value", "")) for entry in self.spec.get("env", [])}


@dataclass(frozen=True)
class Pod:
    """The pods of one workload."""

    owner: Manifest

    @property
    def name(self) -> str:
        """`Kind/name` of the workload."""
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"

    @property
    def namespace(self) -> str:
        """Where it runs."""
        return str(self.owner["metadata"]["namespace"])

    @property
    def labels(self) -> Mapping[str, str]:
        """What selectors see."""
        labels: Mapping[str, str] = self.owner["spec"]["template"]["metadata"].get("labels", {})
        return labels

    @property
    def app(self) -> str:
        """Its name as an application."""
        return self.labels.get(NAME_LABEL, "")

    @property
    def spec(self) -> Mapping[str, Any]:
        """The pod's own specification."""
        spec: Mapping[str, Any] = self.owner["spec"]["template"]["spec"]
        return spec

    @property
    def ours(self) -> bool:
        """Whether it runs one of our images."""
        return any(container.image[0] in OUR_IMAGES for container in self.containers)

    @property
    def containers(self) -> list[Container]:
        """All containers in the order in which they start."""
        first = [
            Container(spec, "sidecar" if spec.get("restartPolicy") == "Always" else "init")
            for spec in self.spec.get("initContainers", [])
        ]
        return first + [Container(spec, "main") for spec in self.spec["containers"]]

    @property
    def ports(self) -> dict[str, int]:
        """Named ports of all containers."""
        return {name: port for container in self.containers for name, port in container.ports.items()}


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector takes these labels; the empty selector takes all. Only `matchLabels` is used here."""
    if selector.keys() - {"matchLabels"}:
        raise ValueError(f"only matchLabels can be judged: {selector}")
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return all(labels.get(name) == value for name, value in wanted.items())


@dataclass(frozen=True)
class Cluster:
    """Everything one overlay would apply. `outside_secrets`: Secret -> keys that someone else provides."""

    manifests: list[Manifest]
    outside_secrets: Mapping[str, frozenset[str]]

    def of(self, kind: str) -> Iterator[Manifest]:
        """The manifests of one kind."""
        return (manifest for manifest in self.manifests if manifest["kind"] == kind)

    @cached_property
    def pods(self) -> list[Pod]:
        """The pods of all workloads."""
        return [Pod(manifest) for manifest in self.manifests if manifest["kind"] in WORKLOADS]

    def selected(self, selector: Mapping[str, Any], namespace: str) -> list[Pod]:
        """The pods that a selector takes in a namespace."""
        return [pod for pod in self.pods if pod.namespace == namespace and matches(selector, pod.labels)]


def title(manifest: Manifest) -> str:
    """`Kind/name`."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"
