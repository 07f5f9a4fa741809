"""The Elasticsearch archive: resolved once from the Maven repository by `jgo`, kept in the cache.

Run as a program (`python -m devstack.servers.maven TARGET`) it downloads into TARGET's directory and prints
`bytes so far / bytes in all` lines; a process of its own, so that an interrupt ends it at once.
"""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from devstack.servers.errors import Missing

GROUP = "org.elasticsearch.distribution.integ-test-zip"
ARTIFACT = "elasticsearch"
VERSION = "9.5.3"

Advance = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all)."""


async def elasticsearch_zip(cache: Path, advance: Advance) -> Path:
    """Returns the archive in `cache`; downloads it if missing. It is complete or absent, never partial."""
    target = cache / f"{ARTIFACT}-{VERSION}.zip"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "devstack.servers.maven", str(target),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    complaint = asyncio.create_task(process.stderr.read())
    try:
        async for line in process.stdout:
            done, _, total = line.decode().partition("/")
            advance(int(done), int(total))
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    reason = (await complaint).decode(errors="replace").strip().splitlines()
    if status != 0 or not target.exists():
        raise Missing(
            f"Elasticsearch {VERSION} could not be downloaded ({reason[-1] if reason else f'exit {status}'}):"
            f" connect this machine to a Maven repository once, or put the archive {GROUP}:{ARTIFACT}:{VERSION}:zip"
            f" at {target}."
        )
    return target


def download(target: Path) -> None:
    """Downloads the archive beside `target`, checked against the repository's checksum, then puts it in place."""
    from jgo.maven import MavenContext, PythonResolver

    printed = 0

    @contextlib.contextmanager
    def progress(_: str, total: int) -> Iterator[Callable[[int], None]]:
        done = 0

        def update(count: int) -> None:
            nonlocal done, printed
            done += count
            if done - printed >= 1 << 20 or done == total:
                printed = done
                print(f"{done}/{total}", flush=True)

        yield update

    # the resolver writes under the final name: a directory of our own keeps an interrupted file from being believed
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as partial:
        context = MavenContext(
            resolver=PythonResolver(progress_callback=progress), repo_cache=Path(partial), timeout=30
        )
        archive = context.project(GROUP, ARTIFACT).at_version(VERSION).artifact(packaging="zip").resolve()
        shutil.move(archive, target)


if __name__ == "__main__":
    try:
        download(Path(sys.argv[1]))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}")
