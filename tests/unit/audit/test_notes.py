"""Notes, checkpoints and keys are those of C2SP: known vectors, and what is not signed as it must be."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from audit.notes.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from audit.notes.cosignature import cosign, require_cosignature
from audit.notes.key_files import ensure_signing_key, named_key, read_signing_key
from audit.notes.keys import Kind, UnfitKey, new_key, signing_key, verification_key
from audit.notes.signed_note import UnfitNote, parse_note, require_signature, sign
from tests.support.source_mutants import Mutant, noticed

#: The published example of signed notes: key, text and note.
KNOWN_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
KNOWN_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
KNOWN_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
KNOWN_NOTE = (
    f"{KNOWN_TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6"
    "KE6RyyBwJnAM=\n"
)
LOG, WITNESS = new_key("example.com/log", Kind.NOTE), new_key("example.com/witness", Kind.COSIGNATURE)
CHECKPOINT = Checkpoint("example.com/log", 1234, bytes(range(32)))


def test_the_known_note() -> None:
    key = signing_key(KNOWN_SECRET)
    assert (key.text, key.verification.text) == (KNOWN_SECRET, KNOWN_KEY)
    note = sign(KNOWN_TEXT, key)
    assert note.text == KNOWN_NOTE
    assert parse_note(KNOWN_NOTE) == note
    require_signature(note, verification_key(KNOWN_KEY, Kind.NOTE))


def a_changed_note_is_refused() -> None:
    """Each text that differs from what was signed is refused."""
    note = sign_checkpoint(CHECKPOINT, LOG).text
    assert open_checkpoint(note, LOG.verification)[0] == CHECKPOINT
    for changed in (note.replace("1234", "1235"), note.replace("AAEC", "AAED"), note.replace("/log\n", "/fog\n", 1)):
        assert changed != note
        with pytest.raises(UnfitNote):
            open_checkpoint(changed, LOG.verification)


def test_a_changed_note_is_refused() -> None:
    a_changed_note_is_refused()
    with pytest.raises(UnfitNote, match="not signed with the key"):
        open_checkpoint(sign_checkpoint(CHECKPOINT, LOG).text, new_key("example.com/log", Kind.NOTE).verification)
    other = Checkpoint("example.com/other", 1, bytes(32))
    with pytest.raises(UnfitNote, match=r"is of the log example\.com/other"):
        open_checkpoint(sign_checkpoint(other, LOG).text, LOG.verification)


@pytest.mark.mutant
def test_a_signature_that_is_not_verified_is_noticed() -> None:
    with noticed(Mutant(require_signature, "if not all(", "if False and not all(")):
        a_changed_note_is_refused()


@pytest.mark.parametrize(
    "text",
    ["", "a\n", "a\n\nb\n", "a\n\n— name\n", "a\n\n— name ??\n", "a\x01\n\n— n AAAAAAA=\n", "a\n\n— n+m AAAAAAA=\n"],
)
def test_what_is_no_note(text: str) -> None:
    with pytest.raises(UnfitNote):
        parse_note(text)


@pytest.mark.parametrize("body", ["", "o\n", "o\n1\n", "o\n01\nAA==\n", "o\n1\nAA==\n", "o\n-1\n\n", "\n1\n\n"])
def test_what_is_no_checkpoint(body: str) -> None:
    with pytest.raises(UnfitNote):
        parse_checkpoint(body)


def test_a_checkpoint_may_have_more_lines() -> None:
    assert parse_checkpoint(f"{CHECKPOINT.body}more\n") == CHECKPOINT


def test_a_cosignature_holds_for_its_time_and_text() -> None:
    note = sign_checkpoint(CHECKPOINT, LOG)
    cosigned = note.with_signatures(cosign(note, WITNESS, 1_700_000_000))
    assert require_cosignature(parse_note(cosigned.text), WITNESS.verification) == 1_700_000_000
    assert open_checkpoint(cosigned.text, LOG.verification)[0] == CHECKPOINT
    with pytest.raises(UnfitNote, match="not signed by the witness"):
        require_cosignature(note, WITNESS.verification)
    changed = cosigned.text.replace("1234", "1235")
    with pytest.raises(UnfitNote, match="wrong signature of the witness"):
        require_cosignature(parse_note(changed), WITNESS.verification)


def test_keys_are_checked_when_they_are_read() -> None:
    text = LOG.verification.text
    assert verification_key(text, Kind.NOTE) == LOG.verification
    for wrong in ("", "a+b+c", text.replace("log+", "fog+"), text[:-4], LOG.text):
        with pytest.raises(UnfitKey):
            verification_key(wrong, Kind.NOTE)
    with pytest.raises(UnfitKey, match="is not a witness's key"):
        verification_key(text, Kind.COSIGNATURE)
    with pytest.raises(UnfitKey, match="is no signing key"):
        signing_key(text)
    for name in ("", "a b", "a+b", "a\n"):
        with pytest.raises(UnfitKey):
            new_key(name, Kind.NOTE)


def test_a_key_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "below" / "key"
    key = ensure_signing_key(file, "example.com/log", Kind.NOTE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ensure_signing_key(file, "example.com/log", Kind.NOTE) == key == read_signing_key(file, Kind.NOTE)
    assert named_key(str(tmp_path / "below" / "key.pub"), Kind.NOTE) == key.verification
    assert named_key(key.verification.text, Kind.NOTE) == key.verification
    with pytest.raises(UnfitKey, match=r"holds the key example.com/log"):
        ensure_signing_key(file, "example.com/other", Kind.NOTE)
    with pytest.raises(UnfitKey, match="cannot be read"):
        read_signing_key(tmp_path / "none", Kind.NOTE)
    assert key.text not in repr(key)
