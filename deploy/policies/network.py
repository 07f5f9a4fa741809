"""Policies on the network: it keeps reads and writes apart, so a query pod cannot reach Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.cluster import NAME_LABEL, Cluster, Pod, matches, title
from deploy.manifests import Manifest

DNS = "names"
ANYTHING = "anything"
#: Application -> where its pods may open connections to. The relay is in the pod of `command`.
REACHES: Mapping[str, frozenset[str]] = {
    "command": frozenset({DNS, "postgres:5432", "nats:4222"}),
    "command-migrate": frozenset({DNS, "postgres:5432"}),
    "relay-adopt": frozenset({DNS, "postgres:5432", "nats:4222"}),
    "query-serve": frozenset({DNS, "elasticsearch:9200", "nats:4222"}),
    "query-project": frozenset({DNS, "elasticsearch:9200", "nats:4222", "command:50053"}),
    "query-migrate": frozenset({DNS, "elasticsearch:9200", "nats:4222"}),
    "query-rebuild": frozenset({DNS, "elasticsearch:9200", "nats:4222", "command:50053"}),
    # The witness runs in a cluster of somebody else; only the compose file has one beside the notary. It calls nobody.
    "audit-notary": frozenset({DNS, "postgres:5432", "nats:4222", "audit-witness:50054"}),
    "audit-migrate": frozenset({DNS, "postgres:5432"}),
    "audit-witness": frozenset(),
}
#: Application -> the ports that callers (not those who scrape metrics) may come to.
CALLED: Mapping[str, frozenset[int]] = {
    "command": frozenset({50051, 50053}),
    "query-serve": frozenset({50052}),
    "audit-witness": frozenset({50054}),
}
MONITORING = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}


def everything_is_denied_first(cluster: Cluster) -> Iterator[str]:
    """Demand a policy in each namespace that selects all pods and opens nothing."""
    for namespace in sorted({pod.namespace for pod in cluster.pods}):
        if not any(_denies_everything(policy["spec"]) for policy in cluster.of("NetworkPolicy", namespace)):
            yield f"Namespace/{namespace}: has no NetworkPolicy that denies everything first"


def _denies_everything(spec: Mapping[str, Any]) -> bool:
    opens = spec.get("ingress") or spec.get("egress")
    return spec.get("podSelector") == {} and set(spec.get("policyTypes", [])) == {"Ingress", "Egress"} and not opens


def pods_reach_what_they_need_and_no_more(cluster: Cluster) -> Iterator[str]:
    """Demand that all policies together let a pod reach exactly what its process connects to."""
    for pod in (each for each in cluster.pods if each.ours):
        open_to = {place for _, rule in _rules(cluster, pod, "egress") for place in _places(rule)}
        needed = REACHES.get(pod.app, frozenset())
        for place in sorted(open_to - needed):
            yield f"{pod.name}: may reach {place}, which it must not"
        for place in sorted(needed - open_to):
            yield f"{pod.name}: cannot reach {place}, which it needs"


def ingress_names_callers_and_ports(cluster: Cluster) -> Iterator[str]:
    """Demand that an ingress rule names its callers and ports, and does not admit every namespace."""
    for policy in cluster.of("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            if not rule.get("from") or not rule.get("ports"):
                yield f"{title(policy)}: must say from whom and to which port"
            if any(not peer.get("namespaceSelector") and "podSelector" not in peer for peer in rule.get("from", [])):
                yield f"{title(policy)}: lets every namespace in"


def ingress_opens_served_ports_only(cluster: Cluster) -> Iterator[str]:
    """Demand that callers reach only the port that serves them; other ports are for the monitoring."""
    for pod in (each for each in cluster.pods if each.ours):
        for policy, rule in _rules(cluster, pod, "ingress"):
            scraping = all(peer.get("namespaceSelector") == MONITORING for peer in rule.get("from", [{}]))
            excess = _ports(rule) - CALLED.get(pod.app, frozenset())
            if excess and not scraping:
                yield f"{title(policy)}: opens {', '.join(sorted(map(str, excess)))} of {pod.name}"


def callers_are_let_in(cluster: Cluster) -> Iterator[str]:
    """Demand an ingress rule for each application that serves calls."""
    for app in sorted({pod.app for pod in cluster.pods} & CALLED.keys()):
        pods, served = [pod for pod in cluster.pods if pod.app == app], CALLED[app]
        if not any(served & _ports(rule) for pod in pods for _, rule in _rules(cluster, pod, "ingress")):
            yield f"{app}: nobody can call it"


def _rules(cluster: Cluster, pod: Pod, direction: str) -> Iterator[tuple[Manifest, Mapping[str, Any]]]:
    """List the rules that hold for a pod, each with its policy. `direction` is `ingress` or `egress`."""
    for policy in cluster.of("NetworkPolicy", pod.namespace):
        if matches(policy["spec"]["podSelector"], pod.labels):
            yield from ((policy, rule) for rule in policy["spec"].get(direction, []))


def _ports(rule: Mapping[str, Any]) -> set[int | None]:
    return {port.get("port") for port in rule.get("ports", [])}  # None is every port of a protocol


def _places(rule: Mapping[str, Any]) -> Iterator[str]:
    """List the places that an egress rule opens: `store:port`, names, or anything."""
    ports = {(port.get("protocol", "TCP"), port.get("port")) for port in rule.get("ports", [])}
    for peer in rule.get("to") or [{}]:
        wanted = peer.get("podSelector", {}).get("matchLabels", {})
        if wanted.get("k8s-app") == "kube-dns" and ports == {("UDP", 53), ("TCP", 53)}:
            yield DNS
        elif NAME_LABEL in wanted and ports:
            yield from (f"{wanted[NAME_LABEL]}:{port}" for _, port in ports)
        else:
            yield ANYTHING
