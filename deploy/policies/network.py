"""The split of reads and writes is kept by the network: a query pod has no way to Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.cluster import NAME_LABEL, Cluster, Pod, matches, title

DNS = "names"
ANYTHING = "anything"
#: Application -> where its pods may open connections to. The relay is in the pod of `command`.
REACHES: Mapping[str, frozenset[str]] = {
    "command": frozenset({DNS, "postgres:5432", "nats:4222"}),
    "command-migrate": frozenset({DNS, "postgres:5432"}),
    "query-serve": frozenset({DNS, "elasticsearch:9200", "nats:4222"}),
    "query-project": frozenset({DNS, "elasticsearch:9200", "nats:4222"}),
    "query-migrate": frozenset({DNS, "elasticsearch:9200", "nats:4222"}),
}
#: Application -> the ports that callers (not those who scrape metrics) may come to.
CALLED: Mapping[str, frozenset[int]] = {"command": frozenset({50051}), "query-serve": frozenset({50052})}
MONITORING = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}


def everything_is_denied_first(cluster: Cluster) -> Iterator[str]:
    """In each namespace one policy takes all pods and opens nothing."""
    for namespace in sorted({pod.namespace for pod in cluster.pods}):
        if not any(
            policy["spec"].get("podSelector") == {}
            and set(policy["spec"].get("policyTypes", [])) == {"Ingress", "Egress"}
            and not policy["spec"].get("ingress")
            and not policy["spec"].get("egress")
            for policy in _policies(cluster, namespace)
        ):
            yield f"Namespace/{namespace}: has no NetworkPolicy that denies everything first"


def pods_reach_what_they_need_and_no_more(cluster: Cluster) -> Iterator[str]:
    """What all policies together open for a pod is exactly what its process connects to."""
    for pod in (each for each in cluster.pods if each.ours):
        open_to = {
            place
            for policy in _taking(cluster, pod)
            for rule in policy["spec"].get("egress", [])
            for place in _to(rule)
        }
        needed = REACHES.get(pod.app, frozenset())
        for place in sorted(open_to - needed):
            yield f"{pod.name}: may reach {place}, which it must not"
        for place in sorted(needed - open_to):
            yield f"{pod.name}: cannot reach {place}, which it needs"


def doors_are_narrow(cluster: Cluster) -> Iterator[str]:
    """Callers come from labelled namespaces to the served port, scrapers from the monitoring; nothing else is open."""
    for pod in cluster.pods:
        for policy in _taking(cluster, pod):
            for rule in policy["spec"].get("ingress", []):
                if not rule.get("from") or not rule.get("ports"):
                    yield f"{title(policy)}: must say from whom and to which port"
                    continue
                ports = {port.get("port") for port in rule["ports"]}
                people = any(
                    peer.get("namespaceSelector") in ({}, None) and "podSelector" not in peer for peer in rule["from"]
                )
                if people:
                    yield f"{title(policy)}: lets every namespace in"
                scraping = all(peer.get("namespaceSelector") == MONITORING for peer in rule["from"])
                if pod.ours and not scraping and not ports <= CALLED.get(pod.app, frozenset()):
                    yield f"{title(policy)}: opens {sorted(ports - CALLED.get(pod.app, frozenset()))} of {pod.name}"
    for app in sorted(CALLED):
        if not any(port in CALLED[app] for port in _called_ports(cluster, app)):
            yield f"{app}: nobody can call it"


def _called_ports(cluster: Cluster, app: str) -> Iterator[Any]:
    for pod in (each for each in cluster.pods if each.app == app):
        for policy in _taking(cluster, pod):
            for rule in policy["spec"].get("ingress", []):
                yield from (port.get("port") for port in rule.get("ports", []))


def _policies(cluster: Cluster, namespace: str) -> Iterator[dict[str, Any]]:
    return (policy for policy in cluster.of("NetworkPolicy") if policy["metadata"]["namespace"] == namespace)


def _taking(cluster: Cluster, pod: Pod) -> Iterator[dict[str, Any]]:
    return (
        policy for policy in _policies(cluster, pod.namespace) if matches(policy["spec"]["podSelector"], pod.labels)
    )


def _to(rule: Mapping[str, Any]) -> Iterator[str]:
    """Places an egress rule opens: `store:port`, names, or anything."""
    ports = {(port.get("protocol", "TCP"), port.get("port")) for port in rule.get("ports", [])}
    for peer in rule.get("to", [{}]) or [{}]:
        wanted = peer.get("podSelector", {}).get("matchLabels", {})
        if wanted.get("k8s-app") == "kube-dns" and ports == {("UDP", 53), ("TCP", 53)}:
            yield DNS
        elif NAME_LABEL in wanted and ports:
            yield from (f"{wanted[NAME_LABEL]}:{port}" for _, port in ports)
        else:
            yield ANYTHING
