"""Ports are not given twice before their servers listen, and do not run out."""

from __future__ import annotations

import pytest

from devstack.servers import ports
from devstack.servers.ports import free_port

FEW = range(31_000, 31_040)


@pytest.fixture(autouse=True)
def few_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_FREE", FEW)
    monkeypatch.setattr(ports, "_given", set())


def test_none_is_given_twice_in_a_row() -> None:
    given = [free_port() for _ in range(len(FEW) // 2)]
    assert len(set(given)) == len(given)
    assert set(given) <= set(FEW)


def test_they_do_not_run_out() -> None:
    assert {free_port() for _ in range(10 * len(FEW))} <= set(FEW)
