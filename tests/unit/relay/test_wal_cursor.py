"""Cursors of the log, and of a poll that takes over from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.events.cursor import (
    CursorError,
    PassedOver,
    PollCursor,
    WalCheckpoint,
    WalCursor,
    anchored,
    mark,
    parse,
    resolve,
    transaction_of,
)
from relay.events.lsn import lsn_text, parse_lsn
from relay.events.snapshot import Snapshot
from tests.unit.relay.test_snapshot import snapshots

lsns = st.integers(0, (1 << 64) - 1)
ids = st.lists(st.integers(3, 1 << 62), max_size=5).map(tuple)
names = st.from_regex(r"[a-z_0-9]{1,20}", fullmatch=True)


@given(st.builds(WalCheckpoint, names, names, lsns, snapshots(), ids), lsns, st.integers(0, 1 << 40), ids)
def test_round_trip(checkpoint: WalCheckpoint, lsn: int, index: int, some: tuple[int, ...]) -> None:
    here = WalCursor(3, checkpoint, lsn, index, some[0] if some else 0, index)
    assert parse(here.text) == here
    short = mark(anchored(17), here.mark)
    assert parse(resolve(short, mark(here.base, "0/0:0:0"))) == here
    for text in (here.text, short):
        assert transaction_of(text) == (some[0] if some else None)


@given(st.none() | snapshots(), st.none() | snapshots(), st.integers(0, 1 << 60), ids, lsns)
def test_round_trip_of_a_poll_that_passes_over(
    seen: Snapshot | None, upto: Snapshot | None, position: int, passed: tuple[int, ...], last: int
) -> None:
    here = PollCursor(1, seen, upto, position if upto else 0, PassedOver(passed, 5, last))
    if upto is None and seen is None:
        return
    assert parse(here.text) == here
    assert transaction_of(here.text) is None


@given(lsns)
def test_log_positions(lsn: int) -> None:
    assert parse_lsn(lsn_text(lsn)) == lsn


@pytest.mark.parametrize("text", ["", "/", "0/", "0/-1", "0/123456789", "x/1", "1 /1"])
def test_no_log_position(text: str) -> None:
    with pytest.raises(ValueError):
        parse_lsn(text)


@pytest.mark.parametrize(
    "text",
    [
        "1;wal;s;p;0/1;1:2:;;0/1:0",
        "1;wal;s;p;0/1;1:2:;0/1:0:0",
        "1;wal;s;p;zz;1:2:;;0/1:0:0",
        "1;wal;s;p;0/1;nonsense;;0/1:0:0",
        "1;wal;s;p;0/1;1:2:;a,b;0/1:0:0",
        "1;poll;;1:2:;x@1-2;end",
        "1;poll;;1:2:;1@1;end",
    ],
)
def test_refuses_what_it_cannot_resume(text: str) -> None:
    with pytest.raises(CursorError):
        parse(text)


def test_a_mark_of_before_tells_no_count() -> None:
    here = parse("1;wal;s;p;0/1;3:3:;;0/1:2:9")
    assert isinstance(here, WalCursor)
    assert (here.index, here.transaction, here.behind) == (2, 9, 0)
