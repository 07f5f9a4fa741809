"""Runs a short program under the servers' account and reads its output."""

import asyncio
from pathlib import Path

from devstack.servers.account import Account
from devstack.servers.child import clean_environment


async def run(
    program: Path, *arguments: str, account: Account | None, directory: Path, within: float = 120.0
) -> tuple[int, str]:
    """Runs a program in `directory`; returns its exit status and whole output.

    Kills it after `within` seconds and raises TimeoutError. Raises OSError when it cannot be run at all.
    """
    process = await asyncio.create_subprocess_exec(
        str(program), *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=directory, env=clean_environment(directory),
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), within)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")
