"""Reads and writes files with keys. Only the owner can read the file of a signing key."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from audit.notes.keys import Kind, SigningKey, UnfitKey, VerificationKey, new_key, signing_key, verification_key


def read_signing_key(file: Path, kind: Kind) -> SigningKey:
    """Reads a signing key of one kind. Raises UnfitKey; the message names the file and not its content."""
    try:
        key = signing_key(file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UnfitKey(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    except UnfitKey as unfit:
        raise UnfitKey(f"{file} {unfit}") from None
    if key.kind is not kind:
        raise UnfitKey(f"{file} holds a key of kind {key.kind.value}, and {kind.value} is needed")
    return key


def ensure_signing_key(file: Path, name: str, kind: Kind) -> SigningKey:
    """Reads a signing key, or makes it if the file is missing, with the verification key beside it in `FILE.pub`.

    Raises UnfitKey when the file holds a key of another name or kind, or cannot be written.
    """
    if not file.exists():
        key = new_key(name, kind)
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Whoever makes the file first wins; another process that starts at the same time reads this key.
            fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
            _write_private(fresh, f"{key.text}\n")
            try:
                os.link(fresh, file)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        except OSError as error:
            raise UnfitKey(f"{file} cannot be written: {error.strerror}") from None
    key = read_signing_key(file, kind)
    if key.name != name:
        raise UnfitKey(f"{file} holds the key {key.name}, and the name must be {name}")
    public = file.with_name(f"{file.name}.pub")
    if not public.exists():
        _write_public(public, f"{key.verification.text}\n")
    return key


def _write_private(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())


def _write_public(file: Path, text: str) -> None:
    # A key may be in a read-only directory; `tandem audit key` shows the public half.
    with contextlib.suppress(OSError):
        file.write_text(text, encoding="utf-8")


def named_key(text_or_file: str, kind: Kind) -> VerificationKey:
    """Reads a verification key that is given as text, or as the name of a file that holds it. Raises UnfitKey."""
    given = text_or_file.strip()
    file = Path(given)
    try:
        is_file = file.is_file()
    except OSError:  # a key is longer than a file's name may be
        is_file = False
    if not is_file:
        return verification_key(given, kind)
    try:
        return verification_key(file.read_text(encoding="utf-8").strip(), kind)
    except (OSError, UnicodeDecodeError):
        raise UnfitKey(f"{file} cannot be read") from None
    except UnfitKey as unfit:
        raise UnfitKey(f"{file} {unfit}") from None
