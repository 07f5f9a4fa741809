"""The compose file: right by its schema and by our rules, and each rule does refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deploy.compose_file import faults, read, schema_faults, store_addresses
from deploy.validate import PROJECT
from devstack.stack.topology import DEFAULT_PORTS

Services = dict[str, Any]


@pytest.fixture
def compose() -> dict[str, Any]:
    return copy.deepcopy(read(PROJECT / "docker-compose.yml", {}))


def test_it_keeps_its_schema_and_our_rules(compose: dict[str, Any]) -> None:
    assert [*schema_faults(compose), *faults(compose)] == []


def test_its_stores_are_there(compose: dict[str, Any]) -> None:
    ports = {"postgres": 5432, "nats": 4222, "elasticsearch": 9200}
    addresses = {(host, port) for _, host, port in store_addresses(compose)}
    assert addresses == set(ports.items())
    assert ports.keys() <= compose["services"].keys()


def test_queries_know_no_way_to_postgres(compose: dict[str, Any]) -> None:
    assert {host for name, host, _ in store_addresses(compose) if name.startswith("query")} == {"nats", "elasticsearch"}


def test_it_is_published_where_the_local_stack_is(compose: dict[str, Any]) -> None:
    published = {
        str(port).split(":")[1] for service in compose["services"].values() for port in service.get("ports", [])
    }
    assert published == {str(port) for port in DEFAULT_PORTS.values()}


def test_its_ports_move_with_the_variables_of_the_local_stack() -> None:
    moved = read(PROJECT / "docker-compose.yml", {name: str(port + 7) for name, port in DEFAULT_PORTS.items()})
    published = {int(str(port).split(":")[1]) for each in moved["services"].values() for port in each.get("ports", [])}
    assert published == {port + 7 for port in DEFAULT_PORTS.values()}


def test_a_variable_without_value_and_default_is_refused(tmp_path: Any) -> None:
    (tmp_path / "compose.yml").write_text("services: {a: {image: '${TANDEM_NOTHING}'}}")
    with pytest.raises(KeyError, match="TANDEM_NOTHING"):
        read(tmp_path / "compose.yml", {})


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
        (lambda s: s["postgres"].pop("healthcheck"), "no healthcheck"),
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
        (lambda s: s["relay"].pop("read_only"), "read-only"),
        (lambda s: s["relay"].pop("cap_drop"), "capabilities"),
        (lambda s: s["relay"].pop("security_opt"), "privileges"),
        (lambda s: s["command"].update(stop_grace_period="10s"), "stop_grace_period"),
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
