"""How long a command waits: less when its process took long to start."""

from __future__ import annotations

import pytest

from devstack.cli import waiting_time
from devstack.cli.waiting_time import patience_seconds


@pytest.mark.parametrize(("start", "patience"), [(0, 5.5), (2, 5.5), (3, 4.5), (5.5, 2), (60, 2)])
def test_a_slow_start_takes_from_the_patience(start: float, patience: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TANDEM_PATIENCE_SECONDS", raising=False)
    monkeypatch.setattr(waiting_time, "start_seconds", lambda: start)
    assert patience_seconds() == patience


def test_what_is_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_PATIENCE_SECONDS", "60")
    monkeypatch.setattr(waiting_time, "start_seconds", lambda: 60.0)
    assert patience_seconds() == 60
