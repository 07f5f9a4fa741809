"""Puts programs where the servers' account can run them: in place if it can, otherwise in one copy."""

import asyncio
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from devstack.servers.account import Account
from devstack.servers.place import enterable


async def runnable(
    program: Path, *, trees: Sequence[Path], root: Path, name: str, cache: Path, account: Account | None
) -> Path:
    """Returns `program` if `account` can run it, else a copy of it.

    The copy is made in `cache`/`name`, of `trees`: files and directories under `root`.
    """
    if account is None or account.can_read(program):
        return program
    target = enterable(cache, account) / name

    def copy(fresh: Path) -> None:
        for tree in trees:
            to = fresh / tree.relative_to(root)
            if tree.is_dir():
                shutil.copytree(tree, to, symlinks=True, ignore=shutil.ignore_patterns("*.a", "doc", "__pycache__"))
            else:
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree, to)

    await asyncio.to_thread(_make_once, target, copy)
    return target / program.relative_to(root)


async def unpacked(archive: Path, *, name: str, cache: Path, account: Account | None) -> Path:
    """Unpacks the directory `name` of the zip `archive`, once, where `account` can enter; returns its path."""
    target = enterable(cache, account) / name

    def unpack(fresh: Path) -> None:
        with zipfile.ZipFile(archive) as content:
            for entry in content.infolist():
                path = Path(content.extract(entry, fresh))
                mode = entry.external_attr >> 16
                path.chmod(0o755 if path.is_dir() or mode & 0o111 else 0o644)
        for child in (fresh / name).iterdir():
            child.rename(fresh / child.name)
        (fresh / name).rmdir()

    await asyncio.to_thread(_make_once, target, unpack)
    return target


def _make_once(target: Path, fill: Callable[[Path], None]) -> None:
    """Fills a directory and moves it into place, so an interrupted or concurrent run never leaves a part of it."""
    if target.is_dir():
        return
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        fill(fresh)
        for folder in (fresh, *(path for path in fresh.rglob("*") if path.is_dir() and not path.is_symlink())):
            folder.chmod(0o755)
        try:
            fresh.rename(target)
        except OSError:
            if not target.is_dir():  # not a twin that was faster
                raise
    finally:
        if os.path.lexists(fresh):
            shutil.rmtree(fresh, ignore_errors=True)
