"""Every process we ship is started with settings it knows and accepts, and with a command it has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from command_service.bootstrap import SERVICES as COMMAND_SERVICES
from command_service.config import CommandSettings
from deploy.cluster import OUR_IMAGES, Cluster, Container, Pod
from deploy.compose_file import our_services, read
from deploy.outside_secrets import OUTSIDE_SECRETS
from deploy.validate import OVERLAYS, PROJECT, cluster
from query_service.bootstrap import SERVICES as QUERY_SERVICES
from query_service.config import QuerySettings
from relay.config import RelaySettings
from service_runtime.config import ServiceSettings, settings_table

SETTINGS: Mapping[str, type[ServiceSettings]] = {
    "command_service": CommandSettings,
    "relay": RelaySettings,
    "query_service": QuerySettings,
}
#: What a key of a secret could hold, by the end of its name.
EXAMPLES = {
    "_database_url": "postgresql://orders@db.example:5432/orders",
    "_nats_url": "nats://nats.example:4222",
    "_elasticsearch_url": "https://search.example:9200",
}


@dataclass(frozen=True)
class Started:
    """A process as a container starts it. `secrets`: file name -> content."""

    package: str
    command: str
    environment: Mapping[str, str]
    secrets: Mapping[str, str]


def composed() -> Iterator[tuple[str, Started]]:
    compose = read(PROJECT / "docker-compose.yml", {})
    for name, (package, environment) in our_services(compose).items():
        command, *_ = compose["services"][name]["command"]
        yield f"compose-{name}", Started(package, command, environment, {})


def deployed(overlay: str) -> Iterator[tuple[str, Started]]:
    rendered = cluster(overlay)
    for pod in (each for each in rendered.pods if each.ours):
        for container in pod.containers:
            command, *_ = container.spec["args"]
            package = OUR_IMAGES[container.image[0]]
            started = Started(package, command, container.environment, mounted(rendered, pod, container))
            yield f"{overlay}-{pod.app}-{container.name}", started


def mounted(rendered: Cluster, pod: Pod, container: Container) -> dict[str, str]:
    volumes = {volume["name"]: volume["secret"]["secretName"] for volume in pod.spec["volumes"] if "secret" in volume}
    (mount,) = container.spec["volumeMounts"]
    assert mount["mountPath"] == "/run/secrets"
    name = volumes[mount["name"]]
    for secret in rendered.of("Secret"):
        if secret["metadata"]["name"] == name:
            return dict(secret["stringData"])
    keys = OUTSIDE_SECRETS[name]
    return {key: next(value for end, value in EXAMPLES.items() if key.endswith(end)) for key in keys}


STARTED = dict([*composed(), *(pair for overlay in OVERLAYS.iterdir() for pair in deployed(overlay.name))])


#: Containers that start alike are tried once.
DISTINCT = {repr(started): name for name, started in STARTED.items()}.values()


def check_config(started: Started, secrets: Path) -> subprocess.CompletedProcess[str]:
    for name, content in started.secrets.items():
        (secrets / name).write_text(content)
    return subprocess.run(
        [sys.executable, "-m", started.package, "check-config"],
        env={"PATH": os.environ["PATH"], "TANDEM_SECRETS_DIR": str(secrets), **started.environment},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", DISTINCT)
def test_a_process_accepts_its_settings(name: str, tmp_path: Path) -> None:
    ran = check_config(STARTED[name], tmp_path)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", STARTED)
def test_a_process_knows_all_it_is_given(name: str) -> None:
    started = STARTED[name]
    known = {variable for variable, _, _ in settings_table(SETTINGS[started.package])}
    assert started.environment.keys() | {name.upper() for name in started.secrets} <= known


@pytest.mark.parametrize("package", SETTINGS)
def test_a_process_has_the_commands_it_is_started_with(package: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", package, "--help"], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    for command in {started.command for started in STARTED.values() if started.package == package}:
        assert command in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("compose-command", {"COMMAND_LISTEN": "50051"}, "COMMAND_LISTEN"),
        ("compose-relay", {"RELAY_DATABASE_URL": "postgres"}, "RELAY_DATABASE_URL"),
        ("production-query-serve-query-serve", {"QUERY_READ_STORE": "elastic"}, "QUERY_READ_STORE"),
    ],
)
def test_a_wrong_setting_would_be_found(name: str, change: dict[str, str], complaint: str, tmp_path: Path) -> None:
    right = STARTED[name]
    wrong = Started(right.package, right.command, {**right.environment, **change}, right.secrets)
    ran = check_config(wrong, tmp_path)
    assert ran.returncode == 2
    assert complaint in ran.stderr


def test_a_secret_that_is_not_mounted_is_missed(tmp_path: Path) -> None:
    right = STARTED["production-command-relay"]
    ran = check_config(Started(right.package, right.command, right.environment, {}), tmp_path)
    assert ran.returncode == 2
    assert "RELAY_DATABASE_URL is not set" in ran.stderr


def test_readiness_asks_for_services_that_are_served() -> None:
    probes = {
        (OUR_IMAGES[container.image[0]], container.spec["readinessProbe"]["grpc"]["service"])
        for overlay in OVERLAYS.iterdir()
        for pod in cluster(overlay.name).pods
        for container in pod.containers
        if "grpc" in container.spec.get("readinessProbe", {})
    }
    served = {"command_service": COMMAND_SERVICES, "query_service": QUERY_SERVICES}
    assert {package for package, _ in probes} == served.keys()
    assert all(service in served[package] for package, service in probes)
