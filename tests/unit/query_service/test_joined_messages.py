"""Encoded orders and the rest of an answer, joined, are the answer."""

from __future__ import annotations

import pytest
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1.order_types_pb2 import Order

from query_service.wire import joined_messages
from query_service.wire.joined_messages import EncodedField
from tests.support.source_mutants import Mutant, noticed

#: Lengths whose varints have one, two and three bytes, and their neighbours.
SIZES = (0, 1, 100, 127, 128, 16_383, 16_384, 300_000)


def check() -> None:
    orders = [Order(note="x" * size) for size in SIZES]
    many = EncodedField(contract.BatchGetOrdersResponse.DESCRIPTOR, "orders")
    rest = contract.BatchGetOrdersResponse(missing_order_ids=["a"])
    joined = b"".join((*(many.of(order.SerializeToString()) for order in orders), rest.SerializeToString()))
    assert contract.BatchGetOrdersResponse.FromString(joined) == contract.BatchGetOrdersResponse(
        orders=orders, missing_order_ids=["a"]
    )
    one = EncodedField(contract.GetOrderResponse.DESCRIPTOR, "order")
    info = contract.ReadInfo(generation="g1", stale=True)
    answer = one.of(orders[-1].SerializeToString()) + contract.GetOrderResponse(read_info=info).SerializeToString()
    assert contract.GetOrderResponse.FromString(answer) == contract.GetOrderResponse(order=orders[-1], read_info=info)


def test_joined_parts_are_the_answer() -> None:
    check()


@pytest.mark.mutant
def test_a_length_of_one_byte_is_noticed() -> None:
    with noticed(Mutant(joined_messages._varint, "number > 0x7F", "False"), or_raises=(ValueError,)):
        check()
