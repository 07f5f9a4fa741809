"""Holds `tandem audit key`, and finds the keys of the local stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.terminal import say, say_json

if TYPE_CHECKING:
    from audit.notes.keys import VerificationKey
    from devstack.stack.topology import Topology


def key(
    new: Annotated[
        Path | None, typer.Option("--new", metavar="FILE", help="Make a signing key in this new file.")
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the new key: a URL without scheme that is yours.")
    ] = "",
    witness: Annotated[bool, typer.Option("--witness", help="The new key is a witness's, not a log's.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Shows the keys of log and witness, or makes a new key.

    Without options it shows the verification keys of the local stack.
    Exit code 0 shown or made, 1 there is none, 2 wrong usage.
    """
    if new is not None:
        made = _made(new, name, witness=witness, as_json=as_json)
        _show({"made": made.text}, as_json=as_json)
        return
    found = {kind: text for kind, file in _files().items() if (text := _read(file))}
    if not found:
        fail("The local stack has no log yet; `make up` makes its keys.", ExitCode.DEGRADED, as_json=as_json)
    _show(found, as_json=as_json)


def local_log_key() -> str:
    """Returns the log's verification key of the local stack; empty if it has none."""
    return _read(_files()["log"])


class StackKeys(NamedTuple):
    """The verification keys of the local stack; empty where it has none."""

    log: str = ""
    witness: str = ""


def stack_keys(stack: Topology) -> StackKeys:
    """Returns the keys of `stack` if it is the one that runs here; empty ones for any other."""
    from devstack.stack.record import read_record

    record = read_record()
    if record is None or record.topology != stack:
        return StackKeys()
    return StackKeys(*(_read(file) for file in _files().values()))


def _files() -> dict[str, Path]:
    from devstack.stack.audit_files import log_key_file, witness_directory
    from devstack.stack.record import state_directory

    directory = state_directory()
    return {
        "log": log_key_file(directory).with_name("log.key.pub"),
        "witness": witness_directory(directory) / "key.pub",
    }


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip() if file.exists() else ""


def _made(file: Path, name: str, *, witness: bool, as_json: bool) -> VerificationKey:
    from audit.notes.key_files import ensure_signing_key
    from audit.notes.keys import Kind, UnfitKey

    if file.exists():
        fail(f"{file} exists; a key is never overwritten.", ExitCode.USAGE, as_json=as_json)
    try:
        return ensure_signing_key(file, name, Kind.COSIGNATURE if witness else Kind.NOTE).verification
    except UnfitKey as unfit:
        fail(f"{unfit}; see --name.", ExitCode.USAGE, as_json=as_json)


def _show(keys: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        say_json(keys)
        return
    for kind, text in keys.items():
        say(f"{kind:8} {text}")
