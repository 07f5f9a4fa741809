"""What is named exists: selectors, ports, accounts, secrets, volumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from deploy.cluster import Cluster, Pod, matches, title


def names_are_unique(cluster: Cluster) -> Iterator[str]:
    """The second of a name would overwrite the first."""
    named = Counter((title(each), each["metadata"].get("namespace", "")) for each in cluster.manifests)
    for (name, namespace), times in named.items():
        if times > 1:
            yield f"{name} stands {times} times in {namespace or 'the cluster'}"


def selectors_match(cluster: Cluster) -> Iterator[str]:
    """A selector that takes nothing guards nothing."""
    for pod in cluster.pods:
        if pod.owner["kind"] != "Job" and not matches(pod.owner["spec"]["selector"], pod.labels):
            yield f"{pod.name}: its selector does not match its own pods"
    for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for manifest in cluster.of(kind):
            if not cluster.selected(manifest["spec"][field], manifest["metadata"]["namespace"]):
                yield f"{title(manifest)}: its selector matches no pod"
    for service in cluster.of("Service"):
        taken = cluster.selected({"matchLabels": service["spec"]["selector"]}, service["metadata"]["namespace"])
        if len(taken) != 1:
            yield f"{title(service)}: its selector matches {len(taken)} workloads, not one"


def ports_exist(cluster: Cluster) -> Iterator[str]:
    """Services, probes and network policies name ports that are really served."""
    for pod in cluster.pods:
        for container in pod.containers:
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                for how in ("grpc", "httpGet", "tcpSocket"):
                    port = container.spec.get(kind, {}).get(how, {}).get("port")
                    if port is not None and not _served(container.ports, port):
                        yield f"{pod.name} {container.name}: {kind} asks port {port}, which it does not declare"
    for service in cluster.of("Service"):
        selected = cluster.selected({"matchLabels": service["spec"]["selector"]}, service["metadata"]["namespace"])
        for port in service["spec"]["ports"]:
            if not all(_served(pod.ports, port.get("targetPort", port["port"])) for pod in selected):
                yield f"{title(service)}: target port {port.get('targetPort')} is not declared by its pods"
    for policy in cluster.of("NetworkPolicy"):
        pods = cluster.selected(policy["spec"]["podSelector"], policy["metadata"]["namespace"])
        for rule in policy["spec"].get("ingress", []):
            for port in rule.get("ports", []):
                if not any(_served(pod.ports, port["port"]) for pod in pods):
                    yield f"{title(policy)}: opens port {port['port']}, which none of its pods serves"


def _served(ports: dict[str, int], port: Any) -> bool:
    return port in ports or port in ports.values()


def accounts_and_secrets_exist(cluster: Cluster) -> Iterator[str]:
    """Each pod has an account of its own; its secrets are here or are known to come from outside."""
    for pod in cluster.pods:
        here = {each["metadata"]["name"] for each in cluster.of("ServiceAccount") if _in(pod, each)}
        if pod.spec.get("serviceAccountName", "default") not in here:
            yield f"{pod.name}: there is no ServiceAccount {pod.spec.get('serviceAccountName', 'default')}"
        inside = {each["metadata"]["name"] for each in cluster.of("Secret") if _in(pod, each)}
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
        for volume in volumes.values():
            secret = volume.get("secret", {}).get("secretName")
            if secret and secret not in inside and secret not in cluster.outside_secrets:
                yield f"{pod.name}: Secret {secret} is neither here nor among those that come from outside"
        claims = {claim["metadata"]["name"] for claim in pod.owner["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for each in pod.containers for mount in each.spec.get("volumeMounts", [])}
        for name in sorted(mounted - volumes.keys() - claims):
            yield f"{pod.name}: volume {name} is mounted but not there"
        for name in sorted(volumes.keys() - mounted):
            yield f"{pod.name}: volume {name} is there but not mounted"
    for name in sorted({each["metadata"]["name"] for each in cluster.of("Secret")} & cluster.outside_secrets.keys()):
        yield f"Secret/{name}: comes from outside and must not be in the repository"


def _in(pod: Pod, manifest: dict[str, Any]) -> bool:
    return bool(manifest["metadata"]["namespace"] == pod.namespace)
