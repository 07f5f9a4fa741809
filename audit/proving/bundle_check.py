"""Checks a bundle without any server: signatures, chain, leaves and proofs."""

from __future__ import annotations

from datetime import UTC, datetime

from audit.leaves.hash_chain import GENESIS, has_its_personal_data, link
from audit.leaves.leaf import event_leaf
from audit.notes.checkpoint import Checkpoint, open_checkpoint
from audit.notes.cosignature import require_cosignature
from audit.notes.keys import VerificationKey
from audit.notes.signed_note import UnfitNote
from audit.proving.bundle import Bundle
from audit.proving.findings import Report
from audit.tree.proofs import includes


def check_bundle(bundle: Bundle, log_key: VerificationKey, witness_key: VerificationKey | None) -> Report:
    """Returns what does not match. Without `witness_key` the witness's signature is not looked at."""
    report = Report()
    checkpoint = open_note(bundle.note, log_key, witness_key, report)
    _check_chain(bundle, report)
    if checkpoint is not None:
        _check_leaves(bundle, checkpoint, report)
    report.checked.append(f"{len(bundle.events)} events of order {bundle.order_id}")
    return report


def open_note(
    text: str, log_key: VerificationKey, witness_key: VerificationKey | None, report: Report
) -> Checkpoint | None:
    """Returns the checkpoint in a note if its signatures are right. Otherwise adds findings and returns None."""
    try:
        checkpoint, note = open_checkpoint(text, log_key)
        report.checked.append(f"the note of {checkpoint.origin} over {checkpoint.size} leaves, signed with its key")
        if witness_key is not None:
            at = datetime.fromtimestamp(require_cosignature(note, witness_key), UTC)
            report.checked.append(f"signed by the witness {witness_key.name} at {at:%Y-%m-%d %H:%M:%S} UTC")
    except UnfitNote as unfit:
        report.wrong(f"the note {unfit}")
        return None
    return checkpoint


def _check_chain(bundle: Bundle, report: Report) -> None:
    previous = GENESIS
    for expected, proved in enumerate(bundle.events, 1):
        event = proved.event
        if event.version != expected:
            report.wrong(f"version {expected} is missing or not in its place", event.order_id, event.version)
            return
        if link(previous, event) != event.hash:
            report.wrong("its hash does not follow from its content and the version before", event.order_id, expected)
        elif not has_its_personal_data(event):
            report.wrong("its personal data does not give its digest", event.order_id, expected)
        previous = event.hash
    if not bundle.events:
        report.wrong("the bundle has no events", bundle.order_id)


def _check_leaves(bundle: Bundle, checkpoint: Checkpoint, report: Report) -> None:
    for proved in bundle.events:
        event = proved.event
        leaf = event_leaf(event.event_id, event.order_id, event.version, event.hash)
        if not includes(checkpoint.root, checkpoint.size, proved.leaf_index, leaf.hash, proved.proof):
            what = "its proof does not lead to the root that was signed"
            report.wrong(what, event.order_id, event.version, proved.leaf_index)
