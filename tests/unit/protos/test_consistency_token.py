"""Consistency tokens survive the wire, merge to the strictest demand, and refuse what they are not."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tandem.orders.client import Session
from tandem.orders.consistency_token import (
    MAX_VERSIONS,
    ConsistencyToken,
    MalformedToken,
    TokenFull,
    TokensOfDifferentSources,
    decode,
    encode,
    epoch_of,
    latest,
    merge,
)
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderResponse

order_ids = st.uuids().map(str)
tokens = st.builds(
    ConsistencyToken,
    st.integers(1, 2**20),
    st.dictionaries(order_ids, st.integers(1, 2**40), max_size=MAX_VERSIONS),
)


@given(tokens)
def test_what_goes_in_comes_out(token: ConsistencyToken) -> None:
    assert decode(encode(token)) == token


@given(tokens, st.data())
def test_a_damaged_token_is_refused(token: ConsistencyToken, data: st.DataObject) -> None:
    text = encode(token)
    position = data.draw(st.integers(0, len(text) - 1))
    replacement = data.draw(st.sampled_from("AZaz09-_.!").filter(lambda character: character != text[position]))
    damaged = text[:position] + replacement + text[position + 1 :]
    with contextlib.suppress(MalformedToken):
        assert decode(damaged) == token, "only unused bits of the last character may differ"


@pytest.mark.parametrize("text", ["", "t1.", "t1.AAAA", "hello", "t2.AAAAAAAA", "t1.ü", "t1." + "A" * 5])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(MalformedToken):
        decode(text)


@given(st.lists(st.dictionaries(order_ids, st.integers(1, 100), max_size=8), min_size=1, max_size=5))
def test_a_merged_token_asks_for_all_and_for_nothing_else(parts: list[dict[str, int]]) -> None:
    merged = decode(merge(*(encode(ConsistencyToken(1, part)) for part in parts)))
    expected: dict[str, int] = {}
    for part in parts:
        for order_id, version in part.items():
            expected[order_id] = max(version, expected.get(order_id, 0))
    assert dict(merged.versions) == expected


def test_tokens_of_two_sources_do_not_merge() -> None:
    with pytest.raises(TokensOfDifferentSources):
        merge(encode(ConsistencyToken(1)), encode(ConsistencyToken(2)))


def test_a_full_token_says_so_or_forgets_the_oldest() -> None:
    parts = [encode(ConsistencyToken(1, {str(uuid.UUID(int=number)): 1})) for number in range(MAX_VERSIONS + 1)]
    with pytest.raises(TokenFull):
        merge(*parts)
    kept = decode(merge(*parts, forget_oldest=True)).versions
    assert len(kept) == MAX_VERSIONS
    assert str(uuid.UUID(int=0)) not in kept
    assert str(uuid.UUID(int=MAX_VERSIONS)) in kept


def test_nothing_merges_to_nothing() -> None:
    assert merge("", "") == ""


def test_the_latest_source_counts() -> None:
    old, new = (encode(ConsistencyToken(epoch, {str(uuid.UUID(int=epoch)): 1})) for epoch in (1, 2))
    assert latest(old, new) == latest(new, old) == latest("", new, "t1.AAAA", "hello") == new
    assert latest() == latest("", "hello") == ""
    assert [epoch_of(text) for text in (old, new, "", "hello")] == [1, 2, 0, 0]


def test_a_session_carries_what_it_wrote() -> None:
    session, order_id = Session(), str(uuid.UUID(int=7))
    for version in (1, 3, 2):
        session.wrote(PlaceOrderResponse(consistency_token=encode(ConsistencyToken(1, {order_id: version}))))
    assert decode(session.read_options().consistency_token).versions == {order_id: 3}
