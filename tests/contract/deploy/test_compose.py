"""The compose file fits the local stack and the manifests, and each of its rules refuses what it is there to refuse."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.compose_file import cluster, faults, read, schema_faults
from deploy.manifests import load
from deploy.policies.network import DNS, REACHES
from deploy.validate import PROJECT
from devstack.stack.topology import DEFAULT_PORTS

Services = dict[str, Any]
TEXT = (PROJECT / "docker-compose.yml").read_text()
COMPOSE = read(TEXT, {})


@pytest.fixture
def compose() -> dict[str, Any]:
    """A copy to break."""
    return copy.deepcopy(COMPOSE)


def test_its_services_reach_what_their_pods_may_reach() -> None:
    reached = defaultdict[str, set[str]](set)
    for container in cluster(COMPOSE).containers:
        given = container.environment.items()
        stores = [urlsplit(value) for variable, value in given if variable.endswith("_URL")]
        stores += [urlsplit(f"//{value}") for variable, value in given if variable.endswith("_ADDRESS")]
        pod = "command" if container.name == "relay" else container.name  # Kubernetes runs both in one
        reached[pod] |= {f"{store.hostname}:{store.port}" for store in stores}
        assert {store.hostname for store in stores} <= COMPOSE["services"].keys()
    assert reached == {app: REACHES[app] - {DNS} for app in reached}


@pytest.mark.parametrize("shift", [0, 7])
def test_it_is_published_where_the_local_stack_is_and_moves_with_it(shift: int) -> None:
    moved = read(TEXT, {name: str(port + shift) for name, port in DEFAULT_PORTS.items()} if shift else {})
    published = [int(port.split(":")[1]) for each in moved["services"].values() for port in each.get("ports", [])]
    assert sorted(published) == sorted(port + shift for port in DEFAULT_PORTS.values())


def test_the_rebuild_is_the_job_of_the_cluster_and_starts_only_when_it_is_named() -> None:
    rebuild = COMPOSE["services"]["query-rebuild"]
    (job,) = load((PROJECT / "deploy/k8s/jobs/query-rebuild.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert (rebuild["profiles"], rebuild["restart"]) == (["rebuild"], f"on-failure:{job['spec']['backoffLimit']}")
    assert rebuild["command"] == container["args"]
    for variable in container["env"]:
        assert rebuild["environment"][variable["name"]] == variable["value"]
    always = [name for name, service in COMPOSE["services"].items() if "profiles" not in service]
    assert sorted({*COMPOSE["services"]} - {*always}) == ["query-rebuild"]


def test_a_variable_without_value_and_default_is_refused() -> None:
    with pytest.raises(KeyError, match="TANDEM_NOTHING"):
        read("services: {a: {image: '${TANDEM_NOTHING}'}}", {})


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda s: s["command"].update(helthcheck={}), "helthcheck"),
        (lambda s: s["command"].update(depends_on={"postgres": {"condition": "healthy"}}), "healthy"),
        (lambda s: s["nats"].update(volumes={"nats": "/data"}), "volumes"),
    ],
)
def test_what_the_schema_does_not_know_is_refused(
    compose: dict[str, Any], edit: Callable[[Services], None], complaint: str
) -> None:
    edit(compose["services"])
    assert any(complaint in fault for fault in schema_faults(compose))


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda s: s["nats"].update(image="nats"), "tag"),
        (lambda s: s["postgres"].update(image="postgres:latest"), "tag"),
        (lambda s: s["postgres"].update(ports=["25432:5432"]), "127.0.0.1"),
        (lambda s: s["postgres"].pop("healthcheck"), "postgres: has no healthcheck"),
        (lambda s: s["relay"].pop("healthcheck"), "waits for relay to be healthy"),
        (lambda s: s["elasticsearch"]["healthcheck"].pop("start_period"), "elasticsearch: its healthcheck needs"),
        (lambda s: s["query-serve"].pop("logging"), "query-serve: limit its log"),
        (lambda s: s["postgres"].pop("mem_limit"), "postgres: limit its memory"),
        (lambda s: s["query-serve"].update(build="."), "2 services build it"),
        (lambda s: s["relay"].pop("build"), "0 services build it"),
        (lambda s: s.pop("nats"), "depends on nats"),
        (lambda s: s["command-migrate"].update(restart="unless-stopped"), "restarted for ever"),
        (lambda s: s["nats"].update(volumes=["messages:/data"]), "messages is not declared"),
        (lambda s: s["nats"].pop("restart"), "when it ends"),
        (lambda s: s["query-rebuild"].update(restart="always"), "when it ends"),
        (lambda s: s["relay"].pop("read_only"), "read-only"),
        (lambda s: s["relay"].pop("cap_drop"), "capabilities"),
        (lambda s: s["relay"].pop("security_opt"), "escalation"),
        (lambda s: s["relay"].update(cap_add=["NET_ADMIN"]), "capabilities"),
        (lambda s: s["relay"].update(privileged=True), "escalation"),
        (lambda s: s["command"].update(stop_grace_period="10s"), "killed after 10 s, takes 20 s"),
        (
            lambda s: s["command"]["environment"].update(COMMAND_SHUTDOWN_GRACE_SECONDS=40),
            "killed after 30 s, takes 40 s",
        ),
        (lambda s: s["command-migrate"].update(image="tandem-command:0.0.9"), "tandem-command: runs as 0.0.9, 0.1.0"),
        (lambda s: s["command"]["environment"].pop("COMMAND_LISTEN"), "publishes port"),
        (lambda s: s["query-serve"]["environment"].update(QUERY_PROBES_LISTEN="0.0.0.0:9054"), "probe port"),
    ],
)
def test_a_broken_compose_file_is_refused(
    compose: dict[str, Any], edit: Callable[[Services], None], complaint: str
) -> None:
    edit(compose["services"])
    found = list(faults(compose))
    assert any(complaint in fault for fault in found), found
