"""Every process we ship is started with settings it knows and accepts, and with a command it has."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import audit.__main__
import command_service.__main__
import query_service.__main__
import relay.__main__
from audit.config import AuditSettings
from command_service.bootstrap import SERVICES as COMMAND_SERVICES
from command_service.config import CommandSettings
from deploy import compose_file
from deploy.cluster import Cluster, Container, mounted_secrets
from deploy.images import stages
from deploy.outside_secrets import OUTSIDE_SECRETS
from deploy.validate import OVERLAYS, PROJECT, cluster, witness_cluster
from query_service.bootstrap import SERVICES as QUERY_SERVICES
from query_service.config import QuerySettings
from relay.config import RelaySettings
from service_runtime.config import ServiceSettings, settings_table

PACKAGES: Mapping[str, tuple[Callable[[list[str]], int], type[ServiceSettings]]] = {
    "command_service": (command_service.__main__.main, CommandSettings),
    "relay": (relay.__main__.main, RelaySettings),
    "query_service": (query_service.__main__.main, QuerySettings),
    "audit": (audit.__main__.main, AuditSettings),
}
#: What a key of a secret could hold, by the end of its name.
EXAMPLES = {
    "database_url": "postgresql://orders@db.example:5432/orders",
    "nats_url": "nats://nats.example:4222",
    "elasticsearch_url": "https://search.example:9200",
    "key": "PRIVATE+KEY+…",
}
OUTSIDE = {name: {key: EXAMPLES[key.partition("_")[2]] for key in keys} for name, keys in OUTSIDE_SECRETS.items()}
CLUSTERS = {
    "compose": compose_file.cluster(compose_file.read((PROJECT / "docker-compose.yml").read_text(), {})),
    **{overlay: cluster(overlay) for overlay in OVERLAYS},
    "witness": witness_cluster(),
}


@dataclass(frozen=True)
class Started:
    """A process as a container starts it. `secrets`: file name -> content."""

    package: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]


Check = Callable[[Started], tuple[int, str]]


def started(where: str) -> Iterator[tuple[str, Started]]:
    for container in CLUSTERS[where].containers:
        if container.package:
            secrets = dict(mounted(CLUSTERS[where], container))
            process = Started(container.package, tuple(container.spec["args"]), container.environment, secrets)
            yield f"{where}-{container.pod.app}-{container.name}", process


def mounted(rendered: Cluster, container: Container) -> Iterator[tuple[str, str]]:
    """The files that a container finds among its secrets, and what they could hold."""
    volumes = {volume["name"]: volume for volume in container.pod.spec.get("volumes", [])}
    held = OUTSIDE | {secret["metadata"]["name"]: secret["stringData"] for secret in rendered.of("Secret")}
    for mount in container.spec.get("volumeMounts", []):  # none in compose, which gives all in the environment
        for name, items in mounted_secrets(volumes.get(mount["name"], {})).items():
            assert mount["mountPath"] == "/run/secrets"
            shown = items or [{"path": key, "key": key} for key in held[name]]
            yield from ((item["path"], held[name][item["key"]]) for item in shown)


STARTED = dict(pair for where in CLUSTERS for pair in started(where))
#: Containers that start alike are tried once.
DISTINCT = {repr(started): name for name, started in STARTED.items()}.values()


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Check:
    """Asks a process whether it accepts what it is given; its exit code and what it complains of."""

    def ask(started: Started) -> tuple[int, str]:
        for name, content in started.secrets.items():
            (tmp_path / name).write_text(content)
        monkeypatch.setattr(os, "environ", {"TANDEM_SECRETS_DIR": str(tmp_path), **started.environment})
        return PACKAGES[started.package][0](["check-config"]), capsys.readouterr().err

    return ask


@pytest.mark.parametrize("name", DISTINCT)
def test_a_process_accepts_its_settings(name: str, check: Check) -> None:
    assert check(STARTED[name]) == (0, "")


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
        ("compose-command-command", {"COMMAND_LISTEN": "50051"}, "COMMAND_LISTEN"),
        ("compose-relay-relay", {"RELAY_DATABASE_URL": "postgres"}, "RELAY_DATABASE_URL"),
        ("production-query-serve-query-serve", {"QUERY_READ_STORE": "elastic"}, "QUERY_READ_STORE"),
    ],
)
def test_a_wrong_setting_would_be_found(name: str, change: dict[str, str], complaint: str, check: Check) -> None:
    code, complaints = check(dataclasses.replace(STARTED[name], environment={**STARTED[name].environment, **change}))
    assert code == 2
    assert complaint in complaints


@pytest.mark.parametrize("name", ["production-command-relay", "production-relay-adopt-relay"])
def test_a_secret_that_is_not_mounted_is_missed(name: str, check: Check) -> None:
    code, complaints = check(dataclasses.replace(STARTED[name], secrets={}))
    assert code == 2
    assert "RELAY_DATABASE_URL is not set" in complaints


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
