"""Asks a witness what it remembers, over HTTP or from its directory: its newest note, and the hashes of leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import aiohttp

from audit.tree.hashing import HASH_BYTES
from service_runtime.error_text import in_one_line

#: Leaves in one request, 32 bytes each.
MOST_LEAVES = 16_384
ANSWER_SECONDS = 10.0


class WitnessSilent(Exception):  # noqa: N818 - says what is wrong
    """The witness cannot be asked. The message says which and why."""


class KnownWitness(NamedTuple):
    """How to ask a witness. Both raise WitnessSilent.

    `note` returns the newest note that it has signed, empty before the first. `leaves` returns the hashes of the leaves
    from a start to before an end, 32 bytes each, as far as they are known.
    """

    note: Callable[[], Awaitable[str]]
    leaves: Callable[[int, int], Awaitable[bytes]]


def from_directory(directory: Path) -> KnownWitness:
    """Reads a copy of a witness's directory, or the directory itself."""

    async def note() -> str:
        file = directory / "checkpoint"
        try:
            return file.read_text(encoding="utf-8")
        except FileNotFoundError as missing:
            if directory.is_dir():  # noqa: ASYNC240 - a file of the operator's machine
                return ""
            raise _unreadable(file, missing) from None
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(file, error) from None

    async def leaves(start: int, end: int) -> bytes:
        file = directory / "leaves"
        try:
            with file.open("rb") as opened:
                opened.seek(start * HASH_BYTES)
                found = opened.read((end - start) * HASH_BYTES)
        except OSError as error:
            raise _unreadable(file, error) from None
        return found[: len(found) // HASH_BYTES * HASH_BYTES]

    return KnownWitness(note, leaves)


def from_address(session: aiohttp.ClientSession, url: str) -> KnownWitness:
    """Asks the witness at `url`."""

    async def answer(path: str) -> bytes | None:
        """Returns the body of an answer; None if the witness has nothing there."""
        try:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
            async with session.get(f"{url.rstrip('/')}/{path}", timeout=timeout) as response:
                if response.status == 404:
                    return None
                response.raise_for_status()
                return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise WitnessSilent(f"the witness at {url} does not answer: {in_one_line(error)}") from None

    async def note() -> str:
        return (await answer("checkpoint") or b"").decode(errors="replace")

    async def leaves(start: int, end: int) -> bytes:
        found = b""
        while (first := start + len(found) // HASH_BYTES) < end:
            body = await answer(f"leaves?first={first}&count={min(end - first, MOST_LEAVES)}")
            if not body:
                break
            found += body
        return found

    return KnownWitness(note, leaves)


def _unreadable(file: Path, error: OSError | UnicodeDecodeError) -> WitnessSilent:
    return WitnessSilent(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}")
