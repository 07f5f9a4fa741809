"""The unprivileged account that servers run under when we are root: Postgres and Elasticsearch refuse root."""

import asyncio
import grp
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devstack.servers.errors import ServerError

NAME = "tandem"
_FALLBACK = "nobody"


@dataclass(frozen=True)
class Account:
    """A user of this machine by id; `groups` are the ids of its groups, its primary group included."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]

    def can_enter(self, path: Path) -> bool:
        """Whether the account may search `path` and every directory above it (symbolic links followed)."""
        resolved = path.resolve()
        return all(self._may(directory, 0o111) for directory in (resolved, *resolved.parents))

    def can_read(self, path: Path) -> bool:
        """Whether the account may read the file or directory `path`."""
        return self.can_enter(path.resolve().parent) and self._may(path, 0o444)

    def _may(self, path: Path, bits: int) -> bool:
        try:
            status = path.stat()
        except OSError:
            return False
        if status.st_uid == self.uid:
            return bool(status.st_mode & bits & 0o700)
        if status.st_gid in self.groups:
            return bool(status.st_mode & bits & 0o070)
        return bool(status.st_mode & bits & 0o007)


async def server_account() -> Account | None:
    """Returns the account to run servers under: None if we are not root, else `tandem`, created if missing.

    If no account can be created, it returns `nobody`, unless that is root.
    """
    if os.geteuid() != 0:
        return None
    account = _look_up(NAME)
    if account is None:
        await asyncio.to_thread(_create)
        account = _look_up(NAME) or _look_up(_FALLBACK)
    if account is None or account.uid == 0:
        raise ServerError(
            f"Postgres and Elasticsearch refuse to run as root, and the account {NAME} could neither be found nor made:"
            f" add it with `useradd --system {NAME}`, or run as a plain user."
        )
    return account


def _create() -> None:
    """Adds the system account. Ignores failures: the later look-up finds an account that another process added."""
    useradd = shutil.which("useradd") or "/usr/sbin/useradd"
    if Path(useradd).exists():
        subprocess.run(
            [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
             "--shell", "/usr/sbin/nologin", NAME],
            capture_output=True, check=False, timeout=30,
        )  # fmt: skip


def _look_up(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    member_of = {group.gr_gid for group in grp.getgrall() if name in group.gr_mem}
    return Account(name, entry.pw_uid, entry.pw_gid, frozenset(member_of | {entry.pw_gid}))
