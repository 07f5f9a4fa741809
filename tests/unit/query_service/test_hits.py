"""A page of a search is read as far as it is needed, and one illegible order does not take the others with it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from query_service.projection.shown_order import PRINT
from query_service.storage.physical.hits import read_page
from query_service.storage.physical.kept_orders import encoded_order, kept
from tests.support.source_mutants import Mutant, noticed

ANOTHER_PRINT = b"next"


def a_page(*documents: dict[str, Any]) -> bytes:
    """An answer of Elasticsearch with these documents, as far as it matters."""
    hits = [
        {"_index": "orders-g1", "_id": f"{number}", "_version": 2**50 + 1024, "_score": None, "_source": document,
         "sort": [2**63 - 1, f"{number}"]}
        for number, document in enumerate(documents)
    ]  # fmt: skip
    total = {"value": 7, "relation": "eq"}
    return msgspec.json.encode({"took": 1, "hits": {"total": total, "max_score": None, "hits": hits}})


def stored(whole: bytes, basic: bytes) -> dict[str, Any]:
    """A document as it is stored, with a field that answers do not need."""
    document: Any = {"order": whole, "basic_order": basic, "skus": ["A"]}
    return kept(document)


def orders_of(page: bytes) -> list[tuple[bytes | None, bytes | None]]:
    """The whole and the basic view of each order on a page; None for what must be made anew."""
    return [(encoded_order(hit.kept.order), encoded_order(hit.kept.basic_order)) for hit in read_page(page).hits.hits]


def test_kept_orders_come_out_as_they_were_encoded() -> None:
    page = a_page(stored(b"\x0a\x01a", b"\x0a"), stored(b"", b"\xff" * 100))
    assert orders_of(page) == [(b"\x0a\x01a", b"\x0a"), (b"", b"\xff" * 100)]
    found = read_page(page)
    assert (found.hits.total.value, found.aggregations) == (7, {})
    assert [(hit.index, hit.order_id, hit.sort) for hit in found.hits.hits] == [
        ("orders-g1", "0", [2**63 - 1, "0"]),
        ("orders-g1", "1", [2**63 - 1, "1"]),
    ]


WRONG: list[Any] = [None, 5, "no base64", "AA==", "", ["AAAA"]]


def one_is_illegible(wrong: Any) -> None:
    """A page with an order that somebody has altered by hand still has the other order."""
    altered = stored(b"altered", b"kept") | {"order": wrong}
    assert orders_of(a_page(altered, stored(b"a", b"b"), {"skus": []})) == [
        (None, b"kept"),
        (b"a", b"b"),
        (None, None),
    ]


@pytest.mark.parametrize("wrong", WRONG)
def test_one_illegible_order_is_made_anew_and_the_others_are_read(wrong: Any) -> None:
    one_is_illegible(wrong)


@pytest.mark.mutant
@pytest.mark.parametrize("wrong", [5, ["AAAA"]])
def test_a_page_that_fails_because_of_one_order_is_noticed(wrong: Any) -> None:
    mutant = Mutant(read_page, "except msgspec.ValidationError", "except ZeroDivisionError")
    with noticed(mutant, or_raises=(msgspec.ValidationError,)):
        one_is_illegible(wrong)


def of_another_edition() -> None:
    assert encoded_order(ANOTHER_PRINT + b"bytes") is None
    assert encoded_order(PRINT + b"bytes") == b"bytes"
    assert encoded_order(None) is None


def test_bytes_with_another_print_are_not_sent() -> None:
    of_another_edition()


@pytest.mark.mutant
def test_bytes_of_another_edition_that_are_sent_are_noticed() -> None:
    with noticed(Mutant(encoded_order, "not kept_bytes.startswith(PRINT)", "False")):
        of_another_edition()


def test_an_answer_of_another_shape_is_refused() -> None:
    for wrong in (b'{"hits":{"hits":[]}}', b'{"hits":[]}', b"[]"):
        with pytest.raises(msgspec.ValidationError):
            read_page(wrong)
    with pytest.raises(msgspec.DecodeError):
        read_page(b"<html>")
