"""Payloads of earlier schema versions take every step to the present one; unknown ones are refused."""

import pytest

from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.upcast import CURRENT_SCHEMA_VERSION, STEPS, upcast


def test_the_current_shape_is_left_alone() -> None:
    payload = {"orderId": "x"}
    assert upcast(payload, CURRENT_SCHEMA_VERSION) == payload


def test_an_old_payload_takes_every_step() -> None:
    steps = {1: lambda payload: {**payload, "b": 2}, 2: lambda payload: {**payload, "c": payload["b"] + 1}}
    assert upcast({"a": 1}, 1, steps=steps, current=3) == {"a": 1, "b": 2, "c": 3}
    assert upcast({"b": 5}, 2, steps=steps, current=3) == {"b": 5, "c": 6}


@pytest.mark.parametrize("version", [0, CURRENT_SCHEMA_VERSION + 1])
def test_an_unknown_shape_is_refused(version: int) -> None:
    with pytest.raises(ProjectionError) as refusal:
        upcast({}, version)
    assert refusal.value.reason is Unprojectable.SCHEMA_UNKNOWN


def test_there_is_a_step_for_every_earlier_version() -> None:
    assert set(STEPS) == set(range(1, CURRENT_SCHEMA_VERSION))
