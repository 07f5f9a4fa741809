"""The hash chain: the bytes it covers, a golden link, and that nothing of a link can change unnoticed."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_service.domain.hash_chain import GENESIS, Link, chain_hash, microseconds, personal_digest
from tests.support.source_mutants import Mutant, noticed

DIGEST = personal_digest(bytes(range(16)), '{"customerEmail":"ann@example.org"}')
LINK = Link(
    event_id=UUID("01a20553-2d33-7302-b86b-64ed00862ced"),
    aggregate_type="order",
    aggregate_id=UUID("1c91673c-6124-5c6a-b21f-82b741c6f904"),
    aggregate_version=1,
    event_type="ORDER_CREATED",
    occurred_at=datetime(1996, 7, 4, tzinfo=UTC),
    recorded_at=datetime(2026, 11, 22, 22, 14, 26, 866_417, tzinfo=UTC),
    headers='{"actor":"anonymous"}',
    payload='{"order":{"locality":"Köln"}}',
    personal_digest=DIGEST,
)


def test_the_layout_written_out() -> None:
    texts = (
        b"01a20553-2d33-7302-b86b-64ed00862ced",
        b"order",
        b"1c91673c-6124-5c6a-b21f-82b741c6f904",
        b"1",
        b"ORDER_CREATED",
        b"836438400000000",
        b"1795385666866417",
        b'{"actor":"anonymous"}',
        '{"order":{"locality":"Köln"}}'.encode(),
    )
    body = b"".join(struct.pack(">I", len(text)) + text for text in texts)
    assert chain_hash(GENESIS, LINK) == hashlib.sha256(bytes(32) + body + DIGEST).digest()


def test_golden_links() -> None:
    first = chain_hash(GENESIS, LINK)
    second = chain_hash(first, replace(LINK, aggregate_version=2))
    assert DIGEST.hex() == "7078e180daa4ddb3a5c7e0e7f712bb8fcc007cd94f292864aa04bd30c38e2bea"
    assert first.hex() == "62b4d3de0be6ade1718158dcd6bcfe77621d837ed30014243f3a076ae4c64c91"
    assert second.hex() == "bf13ab4bc07e1e362eebb9fd75fae1a218bb89b79920123cbbff1f564aefa88f"


CHANGES: dict[str, Any] = {
    "event_id": UUID(int=1),
    "aggregate_type": "orders",
    "aggregate_id": UUID(int=1),
    "aggregate_version": 2,
    "event_type": "ORDER_PAID",
    "occurred_at": LINK.occurred_at + timedelta(microseconds=1),
    "recorded_at": LINK.recorded_at - timedelta(microseconds=1),
    "headers": '{"actor": "anonymous"}',
    "payload": '{"order":{"locality":"Koln"}}',
    "personal_digest": bytes(32),
}


def test_every_part_counts() -> None:
    assert set(CHANGES) == {part.name for part in fields(Link)}
    hashes = {chain_hash(GENESIS, replace(LINK, **{name: value})) for name, value in CHANGES.items()}
    assert len(hashes) == len(CHANGES)
    assert chain_hash(GENESIS, LINK) not in hashes
    assert chain_hash(bytes(31) + b"\x01", LINK) != chain_hash(GENESIS, LINK)


def check_text_cannot_move(one: str, two: str, moved: str) -> None:
    link = replace(LINK, headers=one + moved, payload=two)
    other = replace(LINK, headers=one, payload=moved + two)
    assert (chain_hash(GENESIS, link) == chain_hash(GENESIS, other)) == (link == other)


@given(st.text(), st.text(), st.text())
def test_text_cannot_move_from_one_field_to_the_next(one: str, two: str, moved: str) -> None:
    check_text_cannot_move(one, two, moved)


def test_personal_data_enters_by_its_digest_only() -> None:
    assert personal_digest(b"a", "b") == hashlib.sha256(b"ab").digest()
    with pytest.raises(ValueError, match="32 bytes"):
        chain_hash(GENESIS, replace(LINK, personal_digest=b""))
    with pytest.raises(ValueError, match="32 bytes"):
        chain_hash(b"", LINK)


def check_times_are_exact(moment: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds(moment)) == moment


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_are_exact_to_the_microsecond(moment: datetime) -> None:
    check_times_are_exact(moment)


#: What the chain would not cover → the mutant. The golden hashes are left out: they would notice anything.
UNCOVERED = {
    "the event before": Mutant(chain_hash, "hashlib.sha256(previous)", "hashlib.sha256()"),
    "the personal data": Mutant(chain_hash, "digest.update(link.personal_digest)", "pass"),
    "the lengths": Mutant(chain_hash, "digest.update(len(data).to_bytes(4))", "pass"),
    "the microseconds": Mutant(microseconds, "// _MICROSECOND", "// _MICROSECOND // 1_000_000 * 1_000_000"),
    **{name: Mutant(chain_hash, f"str(link.{name})", '""') for name in ("event_id", "aggregate_id")},
    "aggregate_version": Mutant(chain_hash, "str(link.aggregate_version)", '"1"'),
    **{
        name: Mutant(chain_hash, f"link.{name},", '"",')
        for name in ("aggregate_type", "event_type", "headers", "payload")
    },
    **{name: Mutant(chain_hash, f"str(microseconds(link.{name}))", '""') for name in ("occurred_at", "recorded_at")},
}


@pytest.mark.mutant
@pytest.mark.parametrize("part", UNCOVERED)
def test_a_part_that_is_left_out_is_noticed(part: str) -> None:
    with noticed(UNCOVERED[part]):
        test_every_part_counts()
        check_text_cannot_move("one", "two", "moved")
        check_times_are_exact(LINK.recorded_at)


@pytest.mark.mutant
def test_a_salt_that_is_left_out_is_noticed() -> None:
    with noticed(Mutant(personal_digest, "salt + personal.encode()", "personal.encode()")):
        test_personal_data_enters_by_its_digest_only()
