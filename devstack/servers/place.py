"""Gives directories that the servers' account can enter, even if the project is where only root may look."""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from devstack.servers.account import Account
from devstack.servers.errors import ServerError

PROJECT = Path(__file__).resolve().parents[2]
CACHE_SETTING = "TANDEM_CACHE_DIR"

_OUTSIDE = Path("/var/lib/tandem")
LINK = "outside"
"""Name of the link, in a directory that the account cannot enter, to the one outside that stands in for it."""
_OWNER = ".owner"


def cache_directory() -> Path:
    """Returns the directory of downloads and unpacked servers: TANDEM_CACHE_DIR, or `.tandem/cache` of the project."""
    given = os.environ.get(CACHE_SETTING, "").strip()
    return Path(given).resolve() if given else PROJECT / ".tandem" / "cache"


def enterable(directory: Path, account: Account | None) -> Path:
    """Returns a directory that `account` can enter: `directory`, created if missing, or a stand-in outside the project.

    The link `outside` in `directory` points to the stand-in. A stand-in that is no longer linked is removed when the
    next one is made.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if account is None or account.can_enter(directory):
        return directory
    link = directory / LINK
    if link.is_symlink() and account.can_enter(link):
        return link.resolve()
    parent = _outside(directory, account)
    with _exclusive(parent):
        if link.is_symlink() and account.can_enter(link):  # a twin was faster
            return link.resolve()
        return _make_outside(directory, link, parent)


def owned(directory: Path, account: Account | None) -> Path:
    """Makes `directory` and gives it, with all it holds, to `account` (None: it must be ours already)."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    owner = directory.stat().st_uid
    if account is None:
        if owner != os.geteuid():
            raise ServerError(
                f"{directory} belongs to another user (uid {owner}): run as that user, or remove it (`make clean`)."
            )
    elif owner != account.uid:
        for parent, folders, files in os.walk(directory):
            for name in (".", *folders, *files):
                os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)
    return directory


def _outside(directory: Path, account: Account) -> Path:
    """Returns the parent directory of stand-ins."""
    for parent in (_OUTSIDE, Path(tempfile.gettempdir()) / "tandem"):
        try:
            parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError:
            continue
        if account.can_enter(parent):
            return parent
    raise ServerError(f"The account {account.name} can enter neither {directory} nor {_OUTSIDE}.")


@contextlib.contextmanager
def _exclusive(parent: Path) -> Iterator[None]:
    """Locks out other processes that make or remove stand-ins: a new one looks abandoned until it is linked."""
    with (parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_outside(directory: Path, link: Path, parent: Path) -> Path:
    _remove_abandoned(parent)
    key = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]
    outside = parent / f"{key}-{secrets.token_hex(4)}"
    outside.mkdir(mode=0o755)
    outside.chmod(0o755)  # whatever the umask
    (outside / _OWNER).write_text(f"{link.absolute()}\n")
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    return outside


def _remove_abandoned(parent: Path) -> None:
    """Removes stand-ins that no project links to and no process works in."""
    for outside in parent.iterdir():
        record = outside / _OWNER
        if not record.is_file():
            continue
        link = Path(record.read_text().strip())
        if not (link.is_symlink() and link.resolve() == outside.resolve()) and not _in_use(outside):
            shutil.rmtree(outside, ignore_errors=True)


def _in_use(directory: Path) -> bool:
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(directory):
                return True
        except (psutil.Error, OSError):
            continue
    return False
