"""Read the compose file with its variables filled in, and hold it to the published schema and to our rules."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import jsonschema

from deploy.cluster import NAME_LABEL, Cluster, Pod, image_parts
from deploy.manifests import load
from deploy.policies import Policy, lifecycle, pod_security

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
#: The policies for pods that hold for a service too; the others judge what only Kubernetes has.
POLICIES: tuple[Policy, ...] = (
    pod_security.containers_are_restricted,
    pod_security.roots_are_read_only,
    pod_security.images_are_of_one_release,
    lifecycle.stopping_fits_into_the_grace,
)

Service = Mapping[str, Any]


def read(text: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Read a compose file; raises KeyError for a variable with neither value nor default."""

    def fill(variable: re.Match[str]) -> str:
        name, default = variable.groups()
        return environment.get(name) or (environment[name] if default is None else default)

    (document,) = load(_VARIABLE.sub(fill, text))
    return dict(document)


def cluster(compose: Mapping[str, Any]) -> Cluster:
    """Show our services as the pods that they would be: one container each, and a Job if it runs to an end."""
    pods = {name: _pod(name, service) for name, service in compose["services"].items()}
    return Cluster([pod.owner for pod in pods.values() if pod.ours], {})


def _pod(name: str, service: Service) -> Pod:
    container = {
        "name": name,
        "image": service["image"],
        "args": service.get("command", []),
        "env": [{"name": variable, "value": value} for variable, value in service.get("environment", {}).items()],
        "securityContext": {
            "readOnlyRootFilesystem": service.get("read_only"),
            "allowPrivilegeEscalation": "no-new-privileges:true" not in service.get("security_opt", []),
            "capabilities": {kind: service[f"cap_{kind}"] for kind in ("drop", "add") if f"cap_{kind}" in service},
            "privileged": service.get("privileged", False),
        },
    }
    grace = int(service.get("stop_grace_period", "10s").removesuffix("s"))
    template = {
        "metadata": {"labels": {NAME_LABEL: name}},
        "spec": {"terminationGracePeriodSeconds": grace, "containers": [container]},
    }
    kind = "Job" if _ends(service) else "Deployment"
    return Pod({"kind": kind, "metadata": {"name": name, "namespace": "compose"}, "spec": {"template": template}})


def _ends(service: Service) -> bool:
    """Tell whether a service runs to an end: once, or again only if it fails."""
    return str(service.get("restart")).partition(":")[0] in {"no", "on-failure"}


def schema_faults(compose: Mapping[str, Any]) -> Iterator[str]:
    """Name what breaks the published schema of compose files."""
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(compose):
        yield f"{'.'.join(map(str, error.absolute_path)) or 'the file'}: {error.message}"


def faults(compose: Mapping[str, Any]) -> Iterator[str]:
    """Name what breaks our rules in a file that keeps the schema, one sentence a fault."""
    ours = cluster(compose)
    yield from (fault for policy in POLICIES for fault in policy(ours))
    for name, service in compose["services"].items():
        yield from (f"{name}: {fault}" for rule in (_bounds, _health, _references) for fault in rule(service, compose))
    for name in (pod.app for pod in ours.pods):
        yield from (f"{name}: {fault}" for fault in _port_faults(compose["services"][name]))
    yield from _build_faults(compose, {container.spec["image"] for container in ours.containers})


def _build_faults(compose: Mapping[str, Any], images: set[str]) -> Iterator[str]:
    built = Counter(service["image"] for service in compose["services"].values() if "build" in service)
    for image in sorted(images):
        if built[image] != 1:
            yield f"{image}: {built[image]} services build it, one must"


def _bounds(service: Service, _compose: Mapping[str, Any]) -> Iterator[str]:
    if image_parts(service["image"])[1] in pod_security.FLOATING_TAGS:
        yield f"image {service['image']} needs a tag that names a version"
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"port {port} would be open to the network; bind it to 127.0.0.1"
    if not _ends(service) and service.get("restart") != "unless-stopped":
        yield "say what happens when it ends (restart)"
    if "max-size" not in service.get("logging", {}).get("options", {}):
        yield "limit its log (logging.options.max-size)"
    if "mem_limit" not in service:
        yield "limit its memory (mem_limit)"


def _health(service: Service, _compose: Mapping[str, Any]) -> Iterator[str]:
    if "healthcheck" not in service:
        if not _ends(service):
            yield "has no healthcheck"
    elif "start_period" not in service["healthcheck"]:
        yield "its healthcheck needs a start_period, or a slow machine gives it up while it starts"


def _references(service: Service, compose: Mapping[str, Any]) -> Iterator[str]:
    for name, wait in service.get("depends_on", {}).items():
        other = compose["services"].get(name)
        if other is None:
            yield f"depends on {name}, which is not there"
        elif wait["condition"] == "service_healthy" and "healthcheck" not in other:
            yield f"waits for {name} to be healthy, but it has no healthcheck"
        elif wait["condition"] == "service_completed_successfully" and not _ends(other):
            yield f"waits for {name} to end, but it is restarted for ever"
    for source in (volume.partition(":")[0] for volume in service.get("volumes", [])):
        if source not in compose.get("volumes", {}):
            yield f"volume {source} is not declared"


def _port_faults(service: Service) -> Iterator[str]:
    listens = {
        name: value.rpartition(":")[2] for name, value in service.get("environment", {}).items() if "_LISTEN" in name
    }
    for port in service.get("ports", []):
        if port.rpartition(":")[2] not in listens.values():
            yield f"publishes port {port}, but listens on {', '.join(sorted(listens.values())) or 'none'}"
    asked = re.findall(r"127\.0\.0\.1:(\d+)/readyz", " ".join(service.get("healthcheck", {}).get("test", [])))
    if "healthcheck" in service and asked != [listens[name] for name in listens if name.endswith("_PROBES_LISTEN")]:
        yield "its healthcheck must ask /readyz on its probe port"
