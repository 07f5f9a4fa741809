"""Order numbers made by the service: the same for the same order, and practically never for two."""

from __future__ import annotations

import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from command_service.domain.order_number import order_number_of


def test_a_number_never_changes() -> None:
    assert order_number_of(UUID("1c91673c-6124-5c6a-b21f-82b741c6f904")) == "CD049-WX6HD-X6SNJ"


@given(st.uuids())
def test_numbers_can_be_read_out(order_id: UUID) -> None:
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){2}[0-9A-HJKMNP-TV-Z]{5}", order_number_of(order_id))


def test_neighbours_differ() -> None:
    numbers = {order_number_of(UUID(int=number)) for number in range(10_000)}
    assert len(numbers) == 10_000
    assert len({number[:5] for number in numbers}) > 9_900
