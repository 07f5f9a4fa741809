"""What a witness signs, and what it refuses: a fork, a log that has shrunk, another log, another key."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from audit.notes.checkpoint import Checkpoint, sign_checkpoint
from audit.notes.keys import Kind, SigningKey, new_key
from audit.tree.frontier import Frontier
from audit.tree.hashing import EMPTY_ROOT, leaf_hash
from audit.tree.ranges import consistency_ranges
from audit.witness.judging import Refused, judge, parse_submission
from audit.witness.memory import WitnessMemory
from tests.support.source_mutants import Mutant, noticed

LOG = new_key("example.com/log", Kind.NOTE)
LEAVES = [leaf_hash(bytes([number])) for number in range(16)]
FORKED = [*LEAVES[:3], leaf_hash(b"forked"), *LEAVES[4:]]


def checkpoint(leaves: list[bytes], size: int) -> Checkpoint:
    """The checkpoint of the first leaves."""
    return Checkpoint(LOG.name, size, root(leaves[:size]))


def root(leaves: list[bytes]) -> bytes:
    """The root over leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def request(leaves: list[bytes], old: int, new: int, key: SigningKey = LOG) -> str:
    """The body of a submission that is right if the leaves are."""
    ranges = consistency_ranges(old, new) if 0 < old <= new else []
    proof = "".join(f"{base64.b64encode(root(leaves[one.start : one.end])).decode()}\n" for one in ranges)
    note = sign_checkpoint(Checkpoint(key.name, new, root(leaves[:new])), key)
    return f"old {old}\n{proof}\n{note.text}"


def verdict(text: str, last: Checkpoint | None) -> int:
    """The size that is signed, or the negative status of the refusal."""
    try:
        return judge(last, parse_submission(text), LOG.verification).size
    except Refused as refused:
        return -refused.status


def test_what_continues_is_signed() -> None:
    assert verdict(request(LEAVES, 0, 5), None) == 5
    for new in range(5, 17):
        assert verdict(request(LEAVES, 5, new), checkpoint(LEAVES, 5)) == new
    assert verdict(request(LEAVES, 0, 0), None) == 0


def a_fork_is_refused() -> None:
    """A log that shows other leaves than those that were signed is not signed."""
    for new in range(6, 17):
        assert verdict(request(FORKED, 5, new), checkpoint(LEAVES, 5)) == -422
    assert verdict(request(FORKED, 5, 5), checkpoint(LEAVES, 5)) == -422


def test_a_fork_is_refused() -> None:
    a_fork_is_refused()


@pytest.mark.mutant
def test_a_witness_that_accepts_a_fork_is_noticed() -> None:
    with noticed(Mutant(judge, "if not _continues(known, checkpoint, submission.proof):", "if False:")):
        a_fork_is_refused()


def a_log_that_has_shrunk_is_refused() -> None:
    """A log that forgets leaves, or pretends to begin, is told the size that was signed."""
    assert verdict(request(LEAVES, 3, 4), checkpoint(LEAVES, 5)) == -409
    assert verdict(request(LEAVES, 0, 6), checkpoint(LEAVES, 5)) == -409
    with pytest.raises(Refused, match=r"^5$") as refused:
        judge(checkpoint(LEAVES, 5), parse_submission(request(LEAVES, 0, 4)), LOG.verification)
    assert refused.value.dishonest


def test_a_log_that_has_shrunk_is_refused() -> None:
    a_log_that_has_shrunk_is_refused()


@pytest.mark.mutant
def test_a_witness_that_forgets_is_noticed() -> None:
    with noticed(Mutant(judge, "if submission.old_size != known.size:", "if False:")):
        a_log_that_has_shrunk_is_refused()


def test_another_log_and_another_key_are_refused() -> None:
    assert verdict(request(LEAVES, 0, 5, new_key("example.com/other", Kind.NOTE)), None) == -404
    assert verdict(request(LEAVES, 0, 5, new_key("example.com/log", Kind.NOTE)), None) == -403
    assert verdict(request(LEAVES, 0, 5).replace("\n5\n", "\n6\n"), None) == -403
    assert verdict(request(LEAVES, 6, 5), None) == -400
    proof = request(LEAVES, 5, 6).partition("\n\n")[0].partition("\n")[2]
    assert verdict(request(LEAVES, 0, 5).replace("old 0\n", f"old 0\n{proof}\n"), None) == -422
    unsigned = Checkpoint(LOG.name, 0, leaf_hash(b""))
    assert verdict(f"old 0\n\n{sign_checkpoint(unsigned, LOG).text}", None) == -422
    assert unsigned.root != EMPTY_ROOT


@pytest.mark.parametrize("text", ["", "old 1\n\n", "new 1\n\nx\n\n— a b\n", "old 1\nAA==\n\n" + "x\n\n— n AAAAAAA=\n"])
def test_what_is_no_submission(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_submission(text)
    assert refused.value.status == 400


def test_a_witness_remembers_over_a_restart(tmp_path: Path) -> None:
    memory = WitnessMemory(tmp_path)
    assert (memory.last, memory.note, memory.leaf_count) == (None, "", 0)
    signed = checkpoint(LEAVES, 5)
    memory.remember(signed, sign_checkpoint(signed, LOG))
    assert memory.add_leaves(b"".join(LEAVES[:2])) is None
    again = WitnessMemory(tmp_path)
    assert (again.last, again.leaf_count) == (signed, 2)
    with (tmp_path / "leaves").open("ab") as cut:
        cut.write(b"half a hash")
    assert again.leaf_count == 2
    assert again.add_leaves(b"".join(LEAVES[2:5])) is None
    assert again.leaves(1, 9) == b"".join(LEAVES[1:5])
    assert again.leaves(10**18 - 1, 9) == b""


def test_leaves_that_do_not_give_the_root_are_dropped(tmp_path: Path) -> None:
    memory = WitnessMemory(tmp_path)
    signed = checkpoint(LEAVES, 5)
    memory.remember(signed, sign_checkpoint(signed, LOG))
    assert "do not give the root" in str(memory.add_leaves(b"".join(FORKED[:5])))
    assert memory.leaf_count == 0
    assert memory.add_leaves(b"".join(LEAVES[:5])) is None


def test_what_contradicts_is_kept_as_evidence(tmp_path: Path) -> None:
    memory = WitnessMemory(tmp_path)
    note = sign_checkpoint(checkpoint(FORKED, 5), LOG)
    memory.keep_refused(note)
    memory.keep_refused(note)
    assert [file.read_text() for file in (tmp_path / "refused").iterdir()] == [note.text]
