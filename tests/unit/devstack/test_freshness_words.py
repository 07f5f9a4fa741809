"""What an answer says about itself is told in words, every flag of it in other ones."""

from __future__ import annotations

import pytest
from tandem.orders.v1.order_query_service_pb2 import ReadInfo

from devstack.cli.order_screens.order_screen import freshness

FLAGS = [field.name for field in ReadInfo.DESCRIPTOR.fields if field.type == field.TYPE_BOOL]
PLAIN = freshness(ReadInfo())


def _told(flag: str) -> str:
    info = ReadInfo()
    setattr(info, flag, True)
    return freshness(info)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_is_told(flag: str) -> None:
    told = _told(flag)
    assert told.startswith(f"{PLAIN}; ")
    assert told not in {_told(other) for other in FLAGS if other != flag}


def test_an_answer_for_the_future_is_not_final() -> None:
    assert "not final" in freshness(ReadInfo(not_final=True))
    assert "not final" not in freshness(ReadInfo(stale=True, parked=True))
