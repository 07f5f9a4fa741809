"""Which words are ids of orders: nobody is asked about them, and the services get them as they want them."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.cli.orders.lookup import order_id_of

ORDER = "b11dd591-84f8-4c1e-9d3a-0f6f5a1c2e77"
NOBODY: Any = None


@pytest.mark.parametrize("word", [ORDER, ORDER.upper(), ORDER.replace("-", ""), f"{{{ORDER}}}", f"urn:uuid:{ORDER}"])
async def test_an_id_may_be_written_in_any_form(word: str) -> None:
    assert await order_id_of(NOBODY, word, as_json=False) == ORDER


async def test_any_other_word_is_looked_up() -> None:
    with pytest.raises(AttributeError):  # there is nobody to ask
        await order_id_of(NOBODY, "J1NXP-11JMY-JT2TW", as_json=False)
