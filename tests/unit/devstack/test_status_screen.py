"""`tandem status` shows the read model's status as the query service reports it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tandem.orders.v1 import order_query_service_pb2 as q

from devstack.cli.stack.status import document
from devstack.cli.stack.status_screen import picture
from devstack.cli.terminal import show
from devstack.stack.read_model_status import status_in
from devstack.stack.system_status import ProcessStatus, SystemStatus


def screen(answer: q.GetReadModelStatusResponse, capsys: pytest.CaptureFixture[str]) -> str:
    """Returns what the screen says, in one line."""
    show(picture(seen(answer)))
    return " ".join(capsys.readouterr().out.split())


def seen(answer: q.GetReadModelStatusResponse) -> SystemStatus:
    return SystemStatus((ProcessStatus("relay", "a:1", "up"),), status_in(answer))


def filling(**changes: Any) -> q.RebuildProgress:
    fields: dict[str, Any] = {
        "phase": q.REBUILD_PHASE_FILLING, "old_generation": "g1", "new_generation": "g2", "orders": 1_000_000,
        "filled_orders": 250_000, "orders_per_second": 2_500, "time_left": Duration(seconds=300),
        "start_time": Timestamp(seconds=1_796_000_000),
    }  # fmt: skip
    return q.RebuildProgress(**{**fields, **changes})


REBUILDS = {
    "rebuild of g1 into g2: filling, 250,000 of 1,000,000 orders, 2,500/s, 300 s left": filling(),
    "1,000,000 orders, 2,500/s; problem: order-export: cut": filling(time_left=None, problem="order-export: cut"),
    "into g2: rolled back, 250,000": filling(phase=q.REBUILD_PHASE_ROLLED_BACK),
}


@pytest.mark.parametrize("sentence", REBUILDS)
def test_a_rebuild_is_shown_until_it_has_ended(sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    rebuild = REBUILDS[sentence]
    assert sentence in screen(q.GetReadModelStatusResponse(rebuild=rebuild), capsys)
    rebuild = filling(phase=q.REBUILD_PHASE_FINISHED)
    assert "rebuild" not in screen(q.GetReadModelStatusResponse(rebuild=rebuild), capsys)


def test_the_last_check_for_drift_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "never checked for drift" in screen(q.GetReadModelStatusResponse(), capsys)
    answer = q.GetReadModelStatusResponse(
        drift_check_time=Timestamp(seconds=1_796_000_000),
        drift_checked_orders=1_000,
        drift_problem="it was cut",
    )
    when = "drift check as of 2026-11-30 00:53:20 UTC: 1,000 orders, "
    assert f"{when}nothing found; problem: it was cut" in screen(answer, capsys)
    answer.drift.extend([q.DriftCount(kind="DOCUMENT_MISSING", found=3, repaired=2), q.DriftCount(kind="X", found=1)])
    assert f"{when}3 document missing (2 repaired), 1 x (0 repaired) found" in screen(answer, capsys)


def test_the_document_has_both() -> None:
    answer = q.GetReadModelStatusResponse(
        rebuild=filling(),
        drift_check_time=Timestamp(seconds=1_796_000_000),
        drift_check_duration=Duration(seconds=1, nanos=500_000_000),
        drift_checked_orders=7,
        drift=[q.DriftCount(kind="DOCUMENT_MISSING", found=3, repaired=2)],
    )
    model = json.loads(json.dumps(document(seen(answer))))["read_model"]
    assert model["rebuild"] == {
        "phase": "FILLING", "old": "g1", "new": "g2", "orders": 1_000_000, "filled_orders": 250_000,
        "orders_per_second": 2_500, "seconds_left": 300.0, "problem": "", "start_time": "2026-11-30T00:53:20Z",
    }  # fmt: skip
    assert model["drift"] == {
        "check_time": "2026-11-30T00:53:20Z", "seconds": 1.5, "orders": 7, "problem": "",
        "kinds": [{"kind": "DOCUMENT_MISSING", "found": 3, "repaired": 2}],
    }  # fmt: skip
    empty = document(seen(q.GetReadModelStatusResponse()))["read_model"]
    assert (empty["rebuild"], empty["drift"]["check_time"]) == (None, None)
