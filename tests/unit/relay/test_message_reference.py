"""The reference page of messages lists exactly the headers that the code sends, for each kind of message."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.events.barrier import ADOPTING_HEADER, BarrierBuilder
from relay.events.cursor import parse
from relay.events.message import Message, MessageLimits
from relay.events.parked_notice import ParkedNotices, retried
from relay.replaying.publishing import REPLAY_HEADER
from relay.stream.publish_policy import batch_frames, chain_frames
from tests.support.relay.events import EVENT, builder

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "messages.md"
ROW = re.compile(r"^\| `([\w-]+)` \| ([a-z, ]+) \|", re.MULTILINE)
CURSOR = parse("2;poll;;1:2:;end")


def documented(page: str) -> dict[str, set[str]]:
    """The headers of each kind of message, by the page's table."""
    found: dict[str, set[str]] = {"event": set(), "barrier": set(), "notice": set()}
    for name, kinds in ROW.findall(page):
        for kind in kinds.split(", "):
            found[kind].add(name)
    return found


def sent() -> dict[str, set[str]]:
    """The headers of each kind of message, by all that may be sent of it."""
    notices = ParkedNotices("t.b", source_epoch=2, publish_epoch=1, term=9, limits=MessageLimits(1 << 20))
    barriers = BarrierBuilder("t.b", publish_epoch=1, term=9)
    lines = f"{REPLAY_HEADER}: x\r\n{ADOPTING_HEADER}: 3\r\n"
    of_others = BarrierBuilder("t.b", publish_epoch=1, term=9, lines=lines)
    parked = (notices.parked(EVENT, "c", "1", "why"), notices.discarded(EVENT, "c", "1"))
    kinds = {
        "event": [
            builder().event(EVENT, "c", "1"),
            retried(builder(splices_personal=False).event(EVENT, "@7", "1")),
        ],
        "barrier": [barriers.barrier(CURSOR, 1), of_others.barrier(CURSOR, None)],
        "notice": [one for one in parked if one is not None],
    }
    return {kind: {name for one in messages for name in names(one)} for kind, messages in kinds.items()}


def names(message: Message) -> set[str]:
    chain = chain_frames([message], 7, b"1:6", b"_INBOX.")
    batch = batch_frames([message], 7, b"batch", b"_INBOX.")
    lines = [line for frame in (*chain, *batch) for line in frame.decode().split("\r\n")]
    return {line.partition(": ")[0] for line in lines if re.match(r"[A-Za-z-]+: ", line)}


def test_the_table_lists_what_is_sent() -> None:
    assert documented(PAGE.read_text(encoding="utf-8")) == sent()


@pytest.mark.mutant
def test_a_row_that_is_missing_or_wrong_is_noticed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [match[0] for match in ROW.finditer(page)]
    assert len(rows) == len(set(rows)) > 20
    for row in rows:
        _, name, kinds, _ = row.split("|")
        wrong = f"|{name}| {'event' if kinds == ' barrier ' else 'barrier'} |"
        assert documented(page.replace(row, "")) != sent(), row
        assert documented(page.replace(row, wrong)) != sent(), row
