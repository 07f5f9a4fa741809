"""Every process we ship is started with settings it knows and accepts, and with a command it has."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import command_service.__main__
import query_service.__main__
import relay.__main__
from command_service.bootstrap import SERVICES as COMMAND_SERVICES
from command_service.config import CommandSettings
from deploy.cluster import Cluster, Container, mounted_secrets
from deploy.compose_file import our_services, read
from deploy.images import stages
from deploy.outside_secrets import OUTSIDE_SECRETS
from deploy.validate import OVERLAYS, PROJECT, cluster
from query_service.bootstrap import SERVICES as QUERY_SERVICES
from query_service.config import QuerySettings
from relay.config import RelaySettings
from service_runtime.config import ServiceSettings, settings_table

PACKAGES: Mapping[str, tuple[Callable[[list[str]], int], type[ServiceSettings]]] = {
    "command_service": (command_service.__main__.main, CommandSettings),
    "relay": (relay.__main__.main, RelaySettings),
    "query_service": (query_service.__main__.main, QuerySettings),
}
#: What a key of a secret could hold, by the end of its name.
EXAMPLES = {
    "database_url": "postgresql://orders@db.example:5432/orders",
    "nats_url": "nats://nats.example:4222",
    "elasticsearch_url": "https://search.example:9200",
}
CLUSTERS = {overlay: cluster(overlay) for overlay in OVERLAYS}


@dataclass(frozen=True)
class Started:
    """A process as a container starts it. `secrets`: file name -> content."""

    package: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]


def composed() -> Iterator[tuple[str, Started]]:
    compose = read((PROJECT / "docker-compose.yml").read_text(), {})
    for name, (package, environment) in our_services(compose).items():
        yield f"compose-{name}", Started(package, tuple(compose["services"][name]["command"]), environment, {})


def deployed(overlay: str) -> Iterator[tuple[str, Started]]:
    for container in CLUSTERS[overlay].containers:
        if container.package:
            secrets = dict(mounted(CLUSTERS[overlay], container))
            started = Started(container.package, tuple(container.spec["args"]), container.environment, secrets)
            yield f"{overlay}-{container.pod.app}-{container.name}", started


def mounted(rendered: Cluster, container: Container) -> Iterator[tuple[str, str]]:
    """The files that a container finds among its secrets, and what they could hold."""
    (mount,) = container.spec["volumeMounts"]
    assert mount["mountPath"] == "/run/secrets"
    volume = {volume["name"]: volume for volume in container.pod.spec["volumes"]}[mount["name"]]
    held = {secret["metadata"]["name"]: secret["stringData"] for secret in rendered.of("Secret")}
    for name, items in mounted_secrets(volume).items():
        inside = held.get(name) or {key: EXAMPLES[key.partition("_")[2]] for key in OUTSIDE_SECRETS[name]}
        shown = items or [{"path": key, "key": key} for key in inside]
        yield from ((item["path"], inside[item["key"]]) for item in shown)


STARTED = dict([*composed(), *(pair for overlay in OVERLAYS for pair in deployed(overlay))])
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
    known = {variable for variable, _, _ in settings_table(PACKAGES[started.package][1])}
    assert started.environment.keys() | {name.upper() for name in started.secrets} <= known


@pytest.mark.parametrize("package", PACKAGES)
def test_a_process_has_the_commands_it_is_started_with(package: str, capsys: pytest.CaptureFixture[str]) -> None:
    *_, runtime = stages((PROJECT / package / "Dockerfile").read_text())
    by_default = [command.value for command in runtime if command.cmd == "CMD"]
    for arguments in {*by_default, *(each.arguments for each in STARTED.values() if each.package == package)}:
        with pytest.raises(SystemExit):
            PACKAGES[package][0]([*arguments, "--unheard-of"])
        assert "unrecognized arguments: --unheard-of" in capsys.readouterr().err, arguments


@pytest.mark.mutant
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
    ran = check_config(dataclasses.replace(right, environment={**right.environment, **change}), tmp_path)
    assert ran.returncode == 2
    assert complaint in ran.stderr


@pytest.mark.parametrize("name", ["production-command-relay", "production-relay-adopt-relay"])
def test_a_secret_that_is_not_mounted_is_missed(name: str, tmp_path: Path) -> None:
    ran = check_config(dataclasses.replace(STARTED[name], secrets={}), tmp_path)
    assert ran.returncode == 2
    assert "RELAY_DATABASE_URL is not set" in ran.stderr


def test_readiness_asks_for_services_that_are_served() -> None:
    asked = {
        (container.package, container.spec["readinessProbe"]["grpc"]["service"])
        for rendered in CLUSTERS.values()
        for container in rendered.containers
        if "grpc" in container.spec.get("readinessProbe", {})
    }
    served = {"command_service": COMMAND_SERVICES, "query_service": QUERY_SERVICES}
    assert {package for package, _ in asked} == served.keys()
    assert all(service in served[package] for package, service in asked if package)
