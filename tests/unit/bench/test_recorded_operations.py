"""The operations of each order are found in what a projector has sent, in whatever requests it sent them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.reads.helper_bulk import actions_of
from bench.reads.order_messages import Ids, Template
from bench.reads.recorded_operations import operations_by_order

A, B = replace(Ids.of(1), order_number="ABCDE-F2345-GHJKM"), Ids.of(2)
STATE = b'{"index":{"_index":"x-state","_id":"as_of"}}\n{"position":7}\n'


def written(ids: Ids) -> bytes:
    action = b'{"index":{"_index":"x-%s","_id":"%s","version":3,"version_type":"external"}}\n'
    order = b'{"number":"%s","words":"%s"}\n' % (
        ids.order_number.encode(),
        ids.order_number.lower().replace("-", "").encode(),
    )
    return action % (b"orders", ids.order_id.encode()) + order + action % (b"entries", ids.order_id.encode()) + b"{}\n"


def test_operations_of_an_order() -> None:
    deleted = b'{"delete":{"_index":"x-parked","_id":"%s"}}\n' % B.order_id.encode()
    found = operations_by_order([STATE + written(A), deleted + written(B)], [A.order_id, B.order_id], "x-")
    assert found[A.order_id] == written(A).replace(b'"x-', b'"@')
    assert found[B.order_id] == (deleted + written(B)).replace(b'"x-', b'"@')


def test_an_order_that_is_not_written_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 of 2 orders"):
        operations_by_order([STATE + written(A)], [A.order_id, B.order_id], "x-")


def test_a_copy_has_other_ids_and_another_number_everywhere() -> None:
    assert Template(written(A), A).with_ids(B) == written(B)


def test_an_amount_stays_as_it_is() -> None:
    own = replace(A, order_number="ABCDE-12345-GHJKM")
    assert Template(b'{"units":12345}', own).with_ids(B) == b'{"units":12345}'


def test_actions_as_the_library_takes_them() -> None:
    order, entry = actions_of(Template(written(A).replace(b'"x-', b'"@'), A), "run1-")
    assert (order["_index"], order["_id"], order["_version"]) == ("run1-orders", A.order_id, 3)
    assert (order["_op_type"], order["_version_type"], entry["_source"]) == ("index", "external", {})
