"""What `tandem relay status` makes of the relays' pages."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from devstack.cli.relay.screen import readable, screen
from devstack.stack.relay_status import RelayPage, RelaysStatus

LEADER: dict[str, Any] = {
    "mode": "wal", "mode_reason": None, "state": "PUBLISHING", "leader": True, "term": 7, "source_epoch": 2,
    "publish_epoch": 1, "stream_sequence": 4711, "loss": None, "parked_aggregates": 0, "last_error": None,
    "oldest_unpublished_age_seconds": 0.02, "backlog_events": 3, "backlog_capped": False, "behind_bytes": 2_048,
    "stream_used_ratio": 0.25,
    "slot": {"name": "tandem_x", "active": True, "status": "reserved", "retained_bytes": 1 << 24, "safe_bytes": None},
}  # fmt: skip
STANDBY = LEADER | {"state": "STANDBY", "leader": False, "term": None}


def relays(*pages: dict[str, Any]) -> RelaysStatus:
    return RelaysStatus([RelayPage(f"127.0.0.1:{9000 + i}", page) for i, page in enumerate(pages)])


def drawn(seen: RelaysStatus) -> str:
    console = Console(width=160, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(screen(seen))
    return capture.get()


def test_all_well() -> None:
    seen = relays(STANDBY, LEADER)
    assert (seen.state, seen.problems, seen.standbys) == ("up", [], 1)
    out = drawn(seen)
    for text in (
        "127.0.0.1:9001, term 7",
        "3 events, 2.0 KiB of log, 0.020 s",
        "keeps 16.0 MiB, no limit",
        "25.0% full",
    ):
        assert text in out


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"leader": False, "state": "STANDBY"}, "no relay leads"),
        ({"leader": False, "state": "SOURCE_CHANGED", "last_error": "why"}, "127.0.0.1:9000 is SOURCE_CHANGED: why"),
        ({"oldest_unpublished_age_seconds": 7.0}, "the oldest unpublished event is 7.0 s old"),
        ({"oldest_unpublished_age_seconds": None}, "the lag is not known"),
        ({"parked_aggregates": 2}, "2 aggregates are parked"),
        ({"slot": {**LEADER["slot"], "status": "lost"}}, "slot tandem_x is lost"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], problem: str) -> None:
    seen = relays(LEADER | change, STANDBY)
    assert seen.state == "degraded"
    assert problem in seen.problems
    assert problem in drawn(seen)


def test_the_leader_of_the_highest_term_counts() -> None:
    """One that was stopped and woken up may not know yet that it leads no more."""
    leader = relays(LEADER, LEADER | {"term": 9}, LEADER).leader
    assert leader is not None
    assert leader.address == "127.0.0.1:9001"


def test_some_or_all_do_not_answer() -> None:
    assert relays({}, LEADER).state == "degraded"
    assert relays({}, {}).state == "down"
    assert "127.0.0.1:9000 does not answer" in drawn(relays({}, {}))
    assert relays({}).as_dict()["leader"] is None


def test_polling_has_no_bytes_and_adoptions_are_told() -> None:
    adoption = {
        "source_epoch": 2, "adopted_at": "2026-01-01T00:00:00Z", "published": 3, "lost_events": 4, "lost_aggregates": 2,
        "lost": [{"aggregate_type": "order", "aggregate_id": f"A{i}", "event_id": f"E{i}"} for i in range(4)],
    }  # fmt: skip
    out = drawn(relays(LEADER | {"behind_bytes": None, "slot": None, "adoption": adoption}))
    assert "bytes not known while polling" in out
    assert "4 of 2 aggregates lost by the source (order A0: E0," in " ".join(out.split())


def test_bytes_are_readable() -> None:
    assert [readable(n) for n in (0, 1023, 1024, 5 << 30)] == ["0 B", "1023 B", "1.0 KiB", "5.0 GiB"]
