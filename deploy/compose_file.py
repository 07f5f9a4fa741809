"""Reads the compose file as `docker compose` would, and says which of our rules it breaks."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema

from deploy.cluster import OUR_IMAGES
from deploy.policies.pod_security import FLOATING_TAGS
from deploy.yaml_files import load

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
#: What our processes take to stop, in seconds; compose must not kill before.
STOP_SECONDS = 20


def read(path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The compose file with its variables filled in; raises KeyError for a variable without value and default."""
    (document,) = load(path)
    filled: dict[str, Any] = _filled(document, environment)
    return filled


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part, environment) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, environment) for part in value]
    if isinstance(value, str):
        return _VARIABLE.sub(
            lambda found: environment.get(found[1]) or (found[2] if found[2] is not None else environment[found[1]]),
            value,
        )
    return value


def our_services(compose: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, str]]]:
    """Service -> (package its image runs, its environment)."""
    return {
        name: (
            OUR_IMAGES[service["image"].partition(":")[0]],
            {variable: str(value) for variable, value in service.get("environment", {}).items()},
        )
        for name, service in compose["services"].items()
        if service["image"].partition(":")[0] in OUR_IMAGES
    }


def schema_faults(compose: Mapping[str, Any]) -> Iterator[str]:
    """What breaks the published schema of compose files."""
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    for error in validator.iter_errors(compose):
        yield f"{'.'.join(map(str, error.absolute_path)) or 'the file'}: {error.message}"


def faults(compose: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each rule of ours that the file breaks."""
    for name, service in compose["services"].items():
        yield from _service_faults(name, service)
        yield from _reference_faults(name, service, compose)
    for name in our_services(compose):
        yield from _process_faults(name, compose["services"][name])
    built = Counter(service["image"] for service in compose["services"].values() if "build" in service)
    for image in sorted({compose["services"][name]["image"] for name in our_services(compose)}):
        if built[image] != 1:
            yield f"{image}: {built[image]} services build it, one must"


def _service_faults(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    if service["image"].partition(":")[2] in FLOATING_TAGS:
        yield f"{name}: image {service['image']} needs a tag that names a version"
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"{name}: port {port} would be open to the network; bind it to 127.0.0.1"
    if service.get("restart") != "no":
        if "healthcheck" not in service:
            yield f"{name}: has no healthcheck"
        elif "start_period" not in service["healthcheck"]:
            yield f"{name}: its healthcheck needs a start_period, or a slow machine gives it up while it starts"
    if "max-size" not in service.get("logging", {}).get("options", {}):
        yield f"{name}: limit its log (logging.options.max-size)"
    if "mem_limit" not in service:
        yield f"{name}: limit its memory (mem_limit)"


def _reference_faults(name: str, service: Mapping[str, Any], compose: Mapping[str, Any]) -> Iterator[str]:
    services: Mapping[str, Any] = compose["services"]
    for other, wait in service.get("depends_on", {}).items():
        if other not in services:
            yield f"{name}: depends on {other}, which is not there"
        elif wait["condition"] == "service_healthy" and "healthcheck" not in services[other]:
            yield f"{name}: waits for {other} to be healthy, but it has no healthcheck"
        elif wait["condition"] == "service_completed_successfully" and services[other].get("restart") != "no":
            yield f"{name}: waits for {other} to end, but it is restarted for ever"
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        if source not in compose.get("volumes", {}):
            yield f"{name}: volume {source} is not declared"
    if "restart" not in service or service["restart"] not in {"no", "unless-stopped"}:
        yield f"{name}: say what happens when it ends (restart)"


def _process_faults(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]:
        yield f"{name}: run it with a read-only root and without capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield f"{name}: forbid new privileges"
    if int(str(service.get("stop_grace_period", "10s")).removesuffix("s")) <= STOP_SECONDS:
        yield f"{name}: stop_grace_period must be above the {STOP_SECONDS} s it may take to stop"
    environment = service.get("environment", {})
    listens = {str(value).rpartition(":")[2] for key, value in environment.items() if key.endswith("_LISTEN")}
    for port in service.get("ports", []):
        if str(port).rpartition(":")[2] not in listens:
            yield f"{name}: publishes port {port}, but listens on {', '.join(sorted(listens)) or 'none'}"
    asked = re.findall(r"127\.0\.0\.1:(\d+)/readyz", " ".join(service.get("healthcheck", {}).get("test", [])))
    probes = [str(value).rpartition(":")[2] for key, value in environment.items() if key.endswith("_PROBES_LISTEN")]
    if "healthcheck" in service and asked != probes:
        yield f"{name}: its healthcheck must ask /readyz on its probe port"


def store_addresses(compose: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """(service, host, port) for each URL in the environment of our services."""
    for name, (_, environment) in our_services(compose).items():
        for variable, value in environment.items():
            if variable.endswith("_URL"):
                parts = urlsplit(value)
                yield name, parts.hostname or "", parts.port or 0
