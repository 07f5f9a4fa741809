"""Each way in which a stream could lose or reorder events is refused by its name."""

from dataclasses import replace
from typing import Any

import pytest

from relay.events.errors import Refused
from relay.stream.setup import StreamPlan, other_replicas, require_server, require_stream

PLAN = StreamPlan("ORDERS", "orders.v1.{partition}.{event_type}", "orders.v1.barrier", 604_800, 1 << 30, True)


def test_what_we_create_we_accept() -> None:
    require_stream(PLAN, PLAN.configuration())
    assert PLAN.subjects == ["orders.v1.>"]
    apart = StreamPlan("S", "events.{event_type}", "control.barrier", 60, 1 << 30, True)
    assert apart.subjects == ["events.>", "control.barrier"]
    require_stream(apart, apart.configuration())
    assert PLAN.configuration()["max_age"] == 604_800 * 10**9
    assert PLAN.configuration()["duplicate_window"] == 60 * 10**9


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"storage": "memory"}, "memory"),
        ({"retention": "workqueue"}, "by limits"),
        ({"retention": "interest"}, "by limits"),
        ({"discard": "old"}, "discards old"),
        ({"allow_atomic": False}, "allow_atomic"),
        ({"deny_delete": False}, "deny_delete"),
        ({"deny_purge": False}, "deny_purge"),
        ({"max_msgs_per_subject": 5}, "per subject"),
        ({"persist_mode": "async"}, "persist_mode"),
        ({"no_ack": True}, "no acks"),
        ({"sources": [{"name": "X"}]}, "sources"),
        ({"subject_transform": {"src": "a", "dest": "b"}}, "subject"),
        ({"sealed": True}, "sealed"),
        ({"subjects": ["orders.v2.>"]}, "orders.v1.>"),
        ({"subjects": ["orders.v1.*.*"]}, "orders.v1.>"),
    ],
)
def test_refusals(change: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused, match=named) as refusal:
        require_stream(PLAN, PLAN.configuration() | change)
    assert str(refusal.value).startswith("stream ORDERS ")


def test_another_number_of_replicas_is_told_and_no_reason_to_stop() -> None:
    three = replace(PLAN, replicas=3)
    assert PLAN.configuration()["num_replicas"] == 1
    assert three.configuration()["num_replicas"] == 3
    require_stream(three, PLAN.configuration())
    assert other_replicas(three, three.configuration()) is None
    assert other_replicas(three, PLAN.configuration()) == (
        "stream ORDERS has 1 replica and RELAY_STREAM_REPLICAS is 3: change one of them"
        " (nats stream edit ORDERS --replicas 3)"
    )
    assert "has 5 replicas and RELAY_STREAM_REPLICAS is 1" in str(other_replicas(PLAN, {"num_replicas": 5}))


def test_servers() -> None:
    require_server((2, 12, 1))
    require_server((3, 0, 0))
    for old in ((2, 11, 9), (2, 12, 0), (1, 99, 99)):
        with pytest.raises(Refused, match="too old"):
            require_server(old)
