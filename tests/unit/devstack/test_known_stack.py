"""Which stack commands are about: the one that variables name, the one that runs here, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from devstack.stack.known_stack import ADDRESS_VARIABLES, default_topology, known_stack
from devstack.stack.record import StackRecord
from devstack.stack.topology import DEFAULT_PORTS, Topology


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TANDEM_DIR", str(tmp_path))
    for variable in (*ADDRESS_VARIABLES, *DEFAULT_PORTS, "TANDEM_POSTGRES_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)


def running_here() -> Topology:
    topology = Topology(**{field.name: f"local-{field.name}" for field in fields(Topology)})
    StackRecord.of_this_process(topology).write()
    return topology


def test_none_when_none_runs_and_none_is_named() -> None:
    assert known_stack() is None


def test_the_one_that_runs_here() -> None:
    topology = running_here()
    assert known_stack() == topology


def test_every_part_of_a_stack_has_a_variable() -> None:
    assert sorted(field for field, _ in ADDRESS_VARIABLES.values()) == sorted(field.name for field in fields(Topology))


@pytest.mark.parametrize("variable", ADDRESS_VARIABLES)
@pytest.mark.parametrize("rest", [default_topology, running_here])
def test_a_variable_wins_and_the_rest_stays(
    rest: Callable[[], Topology], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "named")
    field, _ = ADDRESS_VARIABLES[variable]
    without = rest().as_dict()
    found = known_stack()
    assert found is not None
    assert found.as_dict() == {**without, field: "named"}


def test_one_variable_is_enough_beside_the_compose_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_COMMAND_ADDRESS", "127.0.0.1:50051")
    monkeypatch.setenv("TANDEM_POSTGRES_PASSWORD", "secret")
    monkeypatch.setenv("TANDEM_NATS_PORT", "4222")
    found = known_stack()
    assert found is not None
    assert found.postgres_url == "postgresql://tandem:secret@127.0.0.1:25432/tandem"
    assert found.nats_url == "nats://127.0.0.1:4222"
