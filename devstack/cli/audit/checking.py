"""Holds `tandem audit check`: a bundle offline, or the present journal and log against a note that was kept."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.audit.keys import local_log_key
from devstack.cli.audit.opening import opened, run_or_fail, stack_of_command
from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import whole
from devstack.cli.output import fail
from devstack.cli.terminal import complain, say, say_json

if TYPE_CHECKING:
    from audit.notes.checkpoint import Checkpoint
    from audit.notes.keys import Kind, VerificationKey
    from audit.proving.findings import Report
    from audit.proving.known_witness import KnownWitness
    from devstack.stack.topology import Topology


def check(
    bundle: Annotated[Path | None, typer.Argument(metavar="BUNDLE", help="A file of `tandem audit prove`.")] = None,
    note: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A note that was kept, for a check of the present state.")
    ] = None,
    key: Annotated[str, typer.Option(metavar="KEY", help="The log's key, or its file; else the local stack's.")] = "",
    witness_key: Annotated[
        str, typer.Option(metavar="KEY", help="The witness's key, or its file: its signature must be there.")
    ] = "",
    witness: Annotated[
        str, typer.Option(metavar="WHERE", help="Directory or URL of the witness: names the leaf.")
    ] = "",
    restored: Annotated[
        list[int] | None,
        typer.Option(parser=whole(1), metavar="EPOCH", help="A source epoch that began with a restore."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Checks a bundle, or everything against a kept note.

    Says exactly what does not match. A bundle needs no server. A note is compared with journal and log as they are.
    Exit code 0 everything matches, 1 it does not, 2 wrong usage, 3 something is down.
    """
    from audit.notes.keys import Kind

    if (bundle is None) == (note is None):
        fail("Give a BUNDLE, or --note FILE.", ExitCode.USAGE, as_json=as_json)
    log_key = key_of("--key", key or local_log_key(), Kind.NOTE, as_json=as_json)
    of_witness = key_of("--witness-key", witness_key, Kind.COSIGNATURE, as_json=as_json) if witness_key else None
    if bundle is not None:
        report = _checked_bundle(_text(bundle, as_json=as_json), log_key, of_witness, as_json=as_json)
    else:
        assert note is not None
        report = _checked_note(_text(note, as_json=as_json), log_key, of_witness, witness, restored or [], as_json)
    tell(report, as_json=as_json)


def key_of(option: str, text: str, kind: Kind, *, as_json: bool) -> VerificationKey:
    """Returns the key that an option gives; ends the command if it is none."""
    from audit.notes.key_files import named_key
    from audit.notes.keys import UnfitKey

    if not text:
        fail(f"{option} is missing: the log's verification key, or its file.", ExitCode.USAGE, as_json=as_json)
    try:
        return named_key(text, kind)
    except UnfitKey as unfit:
        fail(f"{option} {unfit}.", ExitCode.USAGE, as_json=as_json)


def _text(file: Path, *, as_json: bool) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}.",
            ExitCode.USAGE,
            as_json=as_json,
        )


def _checked_bundle(
    text: str, log_key: VerificationKey, witness_key: VerificationKey | None, *, as_json: bool
) -> Report:
    from audit.proving.bundle import UnfitBundle, read_bundle
    from audit.proving.bundle_check import check_bundle

    try:
        return check_bundle(read_bundle(json.loads(text)), log_key, witness_key)
    except (ValueError, RecursionError) as unfit:  # of the JSON, or UnfitBundle
        what = str(unfit) if isinstance(unfit, UnfitBundle) else "is no JSON"
        fail(f"The file {what}.", ExitCode.USAGE, as_json=as_json)


def _checked_note(
    text: str,
    log_key: VerificationKey,
    witness_key: VerificationKey | None,
    witness: str,
    restored: list[int],
    as_json: bool,
) -> Report:
    from audit.proving.bundle_check import open_note
    from audit.proving.findings import Report

    report = Report()
    checkpoint = open_note(text, log_key, witness_key, report)
    if checkpoint is None:
        return report
    stack = stack_of_command(as_json=as_json)
    known: Checkpoint = checkpoint
    run_or_fail(lambda: _compare(stack, known, witness, restored, report), as_json=as_json)
    return report


async def _compare(stack: Topology, checkpoint: Checkpoint, witness: str, restored: list[int], report: Report) -> None:
    from audit.proving.note_check import NoteCheck

    async with AsyncExitStack() as entered:
        log, journal = await entered.enter_async_context(opened(stack))
        known = await known_witness(witness, entered) if witness else None
        await NoteCheck(log, journal, checkpoint, witness=known, restored=restored).run(report)


async def known_witness(witness: str, entered: AsyncExitStack) -> KnownWitness:
    """Returns the witness at a URL or in a directory."""
    import aiohttp

    from audit.proving.known_witness import from_address, from_directory

    if witness.startswith(("http://", "https://")):
        return from_address(await entered.enter_async_context(aiohttp.ClientSession()), witness)
    return from_directory(Path(witness))


def tell(report: Report, *, as_json: bool) -> None:
    """Prints a report and ends the command."""
    code = ExitCode.OK if report.holds else ExitCode.DEGRADED
    if as_json:
        say_json(report.document())
        raise typer.Exit(int(code))
    for sentence in report.checked:
        say(f"checked: {sentence}")
    for sentence in report.remarks:
        say(f"note: {sentence}")
    for finding in report.findings:
        complain(f"WRONG: {finding.sentence()}")
    if report.untold:
        complain(f"WRONG: {report.untold} more")
    say("everything matches" if report.holds else "it does not match")
    raise typer.Exit(int(code))
