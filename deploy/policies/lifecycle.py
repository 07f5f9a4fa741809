"""How pods start, are watched, and stop."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deploy.cluster import OUR_IMAGES, Cluster, Container, Pod

#: What the relay needs to carry the last commits over, after the writer beside it has stopped.
RELAY_DRAIN_SECONDS = 15
#: Grace of the processes whose settings do not say it.
DEFAULT_GRACE_SECONDS = 20.0
#: How pods wait for their migration. Reads are answered while the stream is away, so only `project` waits for it.
AWAIT_SCHEMA = ["await-schema"]
AWAIT_CONSUMER = ["await-schema", "--consumer"]
_DNS_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def containers_state_what_they_need(cluster: Cluster) -> Iterator[str]:
    """The scheduler and the autoscaler can only count with what is asked for."""
    for pod in cluster.pods:
        for container in pod.containers:
            for group in ("requests", "limits"):
                stated = container.spec.get("resources", {}).get(group, {})
                for missing in sorted({"cpu", "memory"} - stated.keys()):
                    yield f"{pod.name} {container.name}: state {group}.{missing}"


def containers_are_probed(cluster: Cluster) -> Iterator[str]:
    """Alive and ready are two questions; gRPC services answer both over gRPC, on the port that is served."""
    for pod in cluster.pods:
        if pod.owner["kind"] == "Job":
            continue
        for container in pod.containers:
            if container.role != "init":
                yield from _probe_faults(f"{pod.name} {container.name}", container)


def _probe_faults(place: str, container: Container) -> Iterator[str]:
    live, ready = container.spec.get("livenessProbe", {}), container.spec.get("readinessProbe", {})
    if not live:
        yield f"{place}: has no livenessProbe"
    if not ready and container.role == "main":
        yield f"{place}: has no readinessProbe"
    if "grpc" in container.ports and container.role == "main":
        if live.get("grpc", {"service": "?"}).get("service"):
            yield f"{place}: liveness asks gRPC health of the process, without a service"
        if not ready.get("grpc", {}).get("service"):
            yield f"{place}: readiness asks gRPC health of the service"
    for listen, port in (("grpc", "grpc"), ("probes", "metrics"), ("probes", "relay-metrics")):
        said = _listens(container, "_LISTEN" if listen == "grpc" else "_PROBES_LISTEN")
        if port in container.ports and container.image[0] in OUR_IMAGES and said != f"0.0.0.0:{container.ports[port]}":
            yield f"{place}: port {port} is {container.ports[port]}, but the process listens on {said or 'loopback'}"


def _listens(container: Container, suffix: str) -> str | None:
    prefix = {"tandem-command": "COMMAND", "tandem-query": "QUERY", "tandem-relay": "RELAY"}.get(container.image[0])
    return container.environment.get(f"{prefix}{suffix}")


def relays_gate_nothing(cluster: Cluster) -> Iterator[str]:
    """The relay runs beside the writer, and neither its readiness nor its start-up may keep orders from being taken."""
    for pod in cluster.pods:
        relays = [container for container in pod.containers if container.image[0] == "tandem-relay"]
        if pod.app == "command" and not relays:
            yield f"{pod.name}: has no relay beside it"
        for relay in relays:
            if relay.role != "sidecar":
                yield f"{pod.name} {relay.name}: the relay is an init container with restartPolicy Always"
            for probe in sorted({"readinessProbe", "startupProbe"} & relay.spec.keys()):
                yield f"{pod.name} {relay.name}: its {probe} would hold the writer back"


def pods_wait_for_the_schema(cluster: Cluster) -> Iterator[str]:
    """A roll-out and its migration may be applied at once: what runs waits for the schema, by its own image."""
    for pod in cluster.pods:
        if not pod.ours or pod.owner["kind"] == "Job":
            continue
        first, main = pod.containers[0], pod.containers[-1]
        wanted = AWAIT_CONSUMER if main.spec.get("args") == ["project"] else AWAIT_SCHEMA
        if first.role != "init" or first.spec.get("args") != wanted:
            yield f"{pod.name}: its first container must be `{' '.join(wanted)}`"
        elif first.spec["image"] != main.spec["image"]:
            yield f"{pod.name}: await-schema must be of the same image as {main.name}"


def stopping_fits_into_the_grace(cluster: Cluster) -> Iterator[str]:
    """preStop + the process's own grace + the relay's, which stops last, end before Kubernetes kills."""
    for pod in cluster.pods:
        if not pod.ours or pod.owner["kind"] == "Job":
            continue
        for container in (each for each in pod.containers if each.role == "main" and "grpc" in each.ports):
            if not _pause(container):
                yield f"{pod.name} {container.name}: needs preStop sleep, else balancers still send calls to it"
        needed = _seconds_to_stop(pod)
        given = pod.spec.get("terminationGracePeriodSeconds", 30)
        if needed >= given:
            yield f"{pod.name}: terminationGracePeriodSeconds {given} must be above the {needed:g} s it takes to stop"


def _pause(container: Container) -> float:
    hook: Mapping[str, Any] = container.spec.get("lifecycle", {}).get("preStop", {})
    return float(hook.get("sleep", {}).get("seconds", 0))


def _seconds_to_stop(pod: Pod) -> float:
    mains = [container for container in pod.containers if container.role == "main"]
    longest = max(_pause(main) + _own_grace(main) for main in mains)
    return longest + RELAY_DRAIN_SECONDS * any(container.role == "sidecar" for container in pod.containers)


def _own_grace(container: Container) -> float:
    said = [value for name, value in container.environment.items() if name.endswith("_SHUTDOWN_GRACE_SECONDS")]
    return float(said[0]) if said else DEFAULT_GRACE_SECONDS


def jobs_end_and_go(cluster: Cluster) -> Iterator[str]:
    """A Job cannot change: each release brings its own, named by its tag; the old ones do not pile up.

    Its pods' host names are made of its name, so the name is a DNS label.
    """
    for pod in cluster.pods:
        if pod.owner["kind"] != "Job":
            continue
        ending = "-" + re.sub("[^a-z0-9]", "-", pod.containers[-1].image[1].lower())
        if not pod.name.endswith(ending):
            yield f"{pod.name}: its name must end with {ending}, the tag of its image"
        if not _DNS_LABEL.fullmatch(pod.owner["metadata"]["name"]):
            yield f"{pod.name}: its name must be a DNS label (a-z, 0-9 and -, at most 63)"
        if "ttlSecondsAfterFinished" not in pod.owner["spec"]:
            yield f"{pod.name}: set ttlSecondsAfterFinished, or the Jobs of old releases pile up"
