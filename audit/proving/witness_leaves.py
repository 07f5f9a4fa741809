"""Asks a witness for the hashes of leaves, over HTTP or from its directory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from audit.tree.hashing import HASH_BYTES
from service_runtime.error_text import in_one_line

#: Leaves in one request, 32 bytes each.
MOST_LEAVES = 16_384
ANSWER_SECONDS = 10.0


class WitnessSilent(Exception):  # noqa: N818 - says what is wrong
    """The witness cannot be asked. The message says which and why."""


#: Returns the hashes of the leaves from a start to before an end, 32 bytes each, as far as they are known. Raises
#: WitnessSilent.
WitnessLeaves = Callable[[int, int], Awaitable[bytes]]


def from_directory(directory: Path) -> WitnessLeaves:
    """Reads a copy of a witness's directory, or the directory itself."""

    async def read(start: int, end: int) -> bytes:
        file = directory / "leaves"
        try:
            with file.open("rb") as opened:
                opened.seek(start * HASH_BYTES)
                found = opened.read((end - start) * HASH_BYTES)
        except OSError as error:
            raise WitnessSilent(f"{file} cannot be read: {error.strerror}") from None
        return found[: len(found) // HASH_BYTES * HASH_BYTES]

    return read


def from_address(session: aiohttp.ClientSession, url: str) -> WitnessLeaves:
    """Asks the witness at `url`."""

    async def read(start: int, end: int) -> bytes:
        found = b""
        while (first := start + len(found) // HASH_BYTES) < end:
            address = f"{url.rstrip('/')}/leaves?first={first}&count={min(end - first, MOST_LEAVES)}"
            try:
                async with session.get(address, timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)) as response:
                    response.raise_for_status()
                    body = await response.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise WitnessSilent(f"the witness at {url} does not answer: {in_one_line(error)}") from None
            if not body:
                break
            found += body
        return found

    return read
