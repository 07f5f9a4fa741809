"""Policies on references: what is named exists. (A name that is defined twice is refused by Kustomize itself.)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.cluster import Cluster, Pod, matches, title
from deploy.manifests import Manifest


def selectors_match(cluster: Cluster) -> Iterator[str]:
    """Demand that each selector matches: its own pods, at least one pod, or exactly one workload."""
    for pod in cluster.pods:
        if pod.kind != "Job" and not matches(pod.owner["spec"]["selector"], pod.labels):
            yield f"{pod.name}: its selector does not match its own pods"
    for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for manifest in cluster.of(kind):
            if not cluster.selected(manifest["spec"][field], manifest["metadata"]["namespace"]):
                yield f"{title(manifest)}: its selector matches no pod"
    for service in cluster.of("Service"):
        if len(taken := _served_by(cluster, service)) != 1:
            yield f"{title(service)}: its selector matches {len(taken)} workloads, not one"


def probes_ask_declared_ports(cluster: Cluster) -> Iterator[str]:
    """Demand that a probe asks a port that its container declares."""
    for container in cluster.containers:
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            for how in ("grpc", "httpGet", "tcpSocket"):
                port = container.spec.get(kind, {}).get(how, {}).get("port")
                if port is not None and not _has(container.ports, port):
                    yield f"{container.place}: {kind} asks port {port}, which it does not declare"


def services_lead_to_declared_ports(cluster: Cluster) -> Iterator[str]:
    """Demand that a Service leads to ports that its pods declare."""
    for service in cluster.of("Service"):
        pods = _served_by(cluster, service)
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            if not all(_has(pod.ports, target) for pod in pods):
                yield f"{title(service)}: target port {target} is not declared by its pods"


def ingress_opens_declared_ports(cluster: Cluster) -> Iterator[str]:
    """Demand that a network policy opens only ports that one of its pods declares."""
    for policy in cluster.of("NetworkPolicy"):
        pods = cluster.selected(policy["spec"]["podSelector"], policy["metadata"]["namespace"])
        opened = [port.get("port") for rule in policy["spec"].get("ingress", []) for port in rule.get("ports", [])]
        for port in opened:
            if not any(_has(pod.ports, port) for pod in pods):
                yield f"{title(policy)}: opens port {port}, which none of its pods serves"


def accounts_exist(cluster: Cluster) -> Iterator[str]:
    """Demand a ServiceAccount for each pod."""
    for pod in cluster.pods:
        account = pod.spec.get("serviceAccountName", "default")
        if account not in _names(cluster.of("ServiceAccount", pod.namespace)):
            yield f"{pod.name}: there is no ServiceAccount {account}"


def secrets_exist(cluster: Cluster) -> Iterator[str]:
    """Demand that each Secret is either in the overlay or known to come from outside, never both."""
    for pod in cluster.pods:
        for name in sorted(pod.secrets - _names(cluster.of("Secret", pod.namespace)) - cluster.outside_secrets.keys()):
            yield f"{pod.name}: Secret {name} is neither here nor among those that come from outside"
    for name in sorted(_names(cluster.of("Secret")) & cluster.outside_secrets.keys()):
        yield f"Secret/{name}: comes from outside and must not be in the repository"


def volumes_are_mounted(cluster: Cluster) -> Iterator[str]:
    """Demand that what is mounted exists, and that each volume is mounted."""
    for pod in cluster.pods:
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        claims = _names(pod.owner["spec"].get("volumeClaimTemplates", []))
        mounted = {mount["name"] for each in pod.containers for mount in each.spec.get("volumeMounts", [])}
        for name in sorted(mounted - volumes - claims):
            yield f"{pod.name}: volume {name} is mounted but not there"
        for name in sorted(volumes - mounted):
            yield f"{pod.name}: volume {name} is there but not mounted"


def _served_by(cluster: Cluster, service: Manifest) -> list[Pod]:
    return cluster.selected({"matchLabels": service["spec"]["selector"]}, service["metadata"]["namespace"])


def _has(ports: dict[str, int], port: Any) -> bool:
    return port in ports or port in ports.values()


def _names(manifests: Any) -> set[str]:
    return {manifest["metadata"]["name"] for manifest in manifests}
