"""Policies on how pods start, are probed, and stop."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.cluster import Cluster, Container, Pod

#: What the relay needs to carry the last commits over, after the writer beside it has stopped.
RELAY_DRAIN_SECONDS = 15
#: Grace of the processes whose settings do not say it.
DEFAULT_GRACE_SECONDS = 20.0
#: How pods wait for their migration. Reads are answered while the stream is away, so only `project` waits for it.
AWAIT_SCHEMA = ["await-schema"]
AWAIT_CONSUMER = ["await-schema", "--consumer"]
#: Applications that have files of their own and no store.
WITHOUT_SCHEMA = frozenset({"audit-witness"})
#: Named port -> the end of the setting that says where the process listens.
LISTENS = {"grpc": "_LISTEN", "metrics": "_PROBES_LISTEN", "relay-metrics": "_PROBES_LISTEN"}
_DNS_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def containers_state_what_they_need(cluster: Cluster) -> Iterator[str]:
    """Demand requests and limits: the scheduler and the autoscaler compute with them."""
    for container in cluster.containers:
        for group in ("requests", "limits"):
            stated = container.spec.get("resources", {}).get(group, {})
            for missing in sorted({"cpu", "memory"} - stated.keys()):
                yield f"{container.place}: state {group}.{missing}"


def containers_are_probed(cluster: Cluster) -> Iterator[str]:
    """Demand a liveness probe of each process, and a readiness probe of each main one."""
    for container in _running(cluster):
        if not container.spec.get("livenessProbe"):
            yield f"{container.place}: has no livenessProbe"
        if not container.spec.get("readinessProbe") and container.role == "main":
            yield f"{container.place}: has no readinessProbe"


def calls_are_probed_by_calls(cluster: Cluster) -> Iterator[str]:
    """Demand gRPC probes where gRPC is served: liveness of the process, readiness of the service."""
    for container in _running(cluster):
        if "grpc" not in container.ports:
            continue
        live, ready = (container.spec.get(kind, {}).get("grpc") for kind in ("livenessProbe", "readinessProbe"))
        if live is None or live.get("service"):
            yield f"{container.place}: liveness asks gRPC health of the process, without a service"
        if not ready or not ready.get("service"):
            yield f"{container.place}: readiness asks gRPC health of the service"


def processes_listen_on_their_ports(cluster: Cluster) -> Iterator[str]:
    """Demand that the settings let a process listen on each port it declares, and not on loopback only."""
    for container in (each for each in _running(cluster) if each.package):
        for port, setting in LISTENS.items():
            said = container.environment.get(f"{str(container.package).partition('_')[0].upper()}{setting}", "loopback")
            number = container.ports.get(port)
            if number and said != f"0.0.0.0:{number}":
                yield f"{container.place}: port {port} is {number}, but the process listens on {said}"


def relays_gate_nothing(cluster: Cluster) -> Iterator[str]:
    """Demand a relay as sidecar without readiness and startup probes: it must not keep orders from being taken."""
    for relay in (each for pod in _serving(cluster) for each in pod.containers if each.package == "relay"):
        if relay.role != "sidecar":
            yield f"{relay.place}: the relay is an init container with restartPolicy Always"
        for probe in sorted({"readinessProbe", "startupProbe"} & relay.spec.keys()):
            yield f"{relay.place}: its {probe} would hold the writer back"


def writers_have_a_relay(cluster: Cluster) -> Iterator[str]:
    """Demand a relay in each pod that writes events."""
    for pod in cluster.pods:
        if pod.app == "command" and not any(container.package == "relay" for container in pod.containers):
            yield f"{pod.name}: has no relay beside it"


def pods_wait_for_the_schema(cluster: Cluster) -> Iterator[str]:
    """Demand that a pod first waits for its schema: a roll-out and its migration may be applied at once."""
    for pod in (each for each in _serving(cluster) if each.app not in WITHOUT_SCHEMA):
        first, main = pod.containers[0], pod.containers[-1]
        wanted = AWAIT_CONSUMER if main.spec.get("args") == ["project"] else AWAIT_SCHEMA
        if first.role != "init" or first.spec.get("args") != wanted:
            yield f"{pod.name}: its first container must be `{' '.join(wanted)}`"
        elif first.spec["image"] != main.spec["image"]:
            yield f"{pod.name}: await-schema must be of the same image as {main.name}"


def balancers_hear_of_the_end(cluster: Cluster) -> Iterator[str]:
    """Demand a pause before a called container stops, so that balancers stop sending it calls."""
    for container in (each for pod in _serving(cluster) for each in pod.containers):
        if container.role == "main" and "grpc" in container.ports and not _pause(container):
            yield f"{container.place}: needs preStop sleep, else balancers still send calls to it"


def stopping_fits_into_the_grace(cluster: Cluster) -> Iterator[str]:
    """Demand time for the pause, the process's own grace and the relay, which stops last, before Kubernetes kills."""
    for pod in _serving(cluster):
        needed, given = _seconds_to_stop(pod), pod.spec.get("terminationGracePeriodSeconds", 30)
        if needed >= given:
            yield f"{pod.name}: killed after {given} s, takes {needed:g} s to stop; raise terminationGracePeriodSeconds"


def jobs_end_and_go(cluster: Cluster) -> Iterator[str]:
    """Demand that a Job is named after its release and deleted when finished, because a Job cannot change.

    Kubernetes makes host names from the names of Jobs, so they are DNS labels.
    """
    for pod in (each for each in cluster.pods if each.kind == "Job"):
        ending = "-" + re.sub("[^a-z0-9]", "-", pod.containers[-1].image[1].lower())
        if not pod.name.endswith(ending):
            yield f"{pod.name}: its name must end with {ending}, the tag of its image"
        if not _DNS_LABEL.fullmatch(pod.owner["metadata"]["name"]):
            yield f"{pod.name}: its name must be a DNS label (a-z, 0-9 and -, at most 63)"
        if "ttlSecondsAfterFinished" not in pod.owner["spec"]:
            yield f"{pod.name}: set ttlSecondsAfterFinished, or the Jobs of old releases pile up"


def _running(cluster: Cluster) -> list[Container]:
    """List what keeps running: no Jobs, no init containers."""
    return [each for each in cluster.containers if each.pod.kind != "Job" and each.role != "init"]


def _serving(cluster: Cluster) -> list[Pod]:
    return [pod for pod in cluster.pods if pod.ours and pod.kind != "Job"]


def _pause(container: Container) -> float:
    return float(container.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0))


def _seconds_to_stop(pod: Pod) -> float:
    longest = max(_pause(each) + _own_grace(each) for each in pod.containers if each.role == "main")
    return longest + RELAY_DRAIN_SECONDS * any(each.role == "sidecar" for each in pod.containers)


def _own_grace(container: Container) -> float:
    said = [value for name, value in container.environment.items() if name.endswith("_SHUTDOWN_GRACE_SECONDS")]
    return float(said[0]) if said else DEFAULT_GRACE_SECONDS
