"""Reads and checks the files with which a process authenticates to NATS."""

from __future__ import annotations

import ssl
from itertools import pairwise
from pathlib import Path

import nkeys  # type: ignore[import-untyped]

_JWT, _SEED = "BEGIN NATS USER JWT", "BEGIN USER NKEY SEED"


class UnfitFile(ValueError):  # noqa: N818 - says what is wrong
    """A file cannot be used. The message says why, without the file's content."""


def tls_context(ca_file: str, certificate_file: str, key_file: str) -> ssl.SSLContext | None:
    """Returns a TLS context with the certificate authority (the system's if empty) and the client certificate.

    Returns None if all files are empty. Raises UnfitFile if a file cannot be used.
    """
    if key_file and not certificate_file:
        raise UnfitFile("the key is of no use without its certificate")
    if not ca_file and not certificate_file:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        if certificate_file:
            context.load_cert_chain(certificate_file, key_file or None, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise UnfitFile(str(error)) from None
    return context


def check_credentials(file: str) -> None:
    """Raises UnfitFile unless the file holds a JWT and a user's seed. With a wrong file the library would hang."""
    try:
        lines = Path(file).read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        raise UnfitFile(str(error)) from None
    found = {mark: value.strip() for mark in (_JWT, _SEED) for line, value in pairwise(lines) if mark in line}
    if not found.get(_JWT) or not found.get(_SEED):
        raise UnfitFile(f"holds no credentials: a line {_JWT} and one {_SEED}, each with its value in the next line")
    try:
        nkeys.from_seed(bytearray(found[_SEED].encode()))
    except Exception as error:
        raise UnfitFile(f"holds a seed that is none: {type(error).__name__}") from None


def _no_password() -> str:
    raise UnfitFile("the key is encrypted; give one that is not")
