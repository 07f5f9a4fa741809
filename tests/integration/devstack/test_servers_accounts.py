"""The servers run as root (under an unprivileged account), as a plain user, and from a directory closed to others."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from devstack.servers.account import Account, server_account
from devstack.servers.place import LINK, PROJECT, enterable
from tests.support.server_starter import SITE, gone, starter

NewDirectory = Callable[[str], Path]
STORES = ("postgres", "nats", "elasticsearch")


@pytest.fixture
async def account() -> Account:
    """The unprivileged account that servers run under."""
    account = await server_account()
    if account is None:
        pytest.skip("not root: every other test already runs the servers as a plain user")
    return account


def link_or_copy(source: str, target: str) -> str:
    """A hard link where the file system allows it: the copies are large."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


@pytest.fixture
def closed_clone(server_directory: NewDirectory, elasticsearch_archive: Path) -> Iterator[Path]:
    """The project with its environment and cache, in a directory that only root may enter."""
    closed = server_directory("closed")
    closed.chmod(0o700)
    project = closed / "project"
    for package in ("devstack", "tests"):
        shutil.copytree(PROJECT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = Path(sys.prefix)
    shutil.copytree(
        environment / "bin", project / ".venv" / "bin", symlinks=True, copy_function=link_or_copy,
        ignore=shutil.ignore_patterns("buf", "ruff", "uv*"),
    )  # fmt: skip
    shutil.copytree(
        SITE, project / ".venv" / SITE.relative_to(environment), copy_function=link_or_copy,
        ignore=shutil.ignore_patterns("mypy*", "__pycache__", "hypothesis*", "sqlalchemy*", "pip*"),
    )  # fmt: skip
    shutil.copy(environment / "pyvenv.cfg", project / ".venv")
    cache = project / ".tandem" / "cache"
    cache.mkdir(parents=True)
    link_or_copy(str(elasticsearch_archive), str(cache / elasticsearch_archive.name))
    yield project
    shutil.rmtree(closed)
    # the stand-ins of a project that is gone go when the next one is made
    account = Account("nobody", 65534, 65534, frozenset({65534}))
    other = server_directory("other")
    other.chmod(0o700)
    stand_in = enterable(other, account)
    shutil.rmtree(stand_in)


def users(servers: Mapping[str, Mapping[str, Any]]) -> set[int]:
    """The effective users of the servers' processes."""
    return {psutil.Process(server["pid"]).uids().effective for server in servers.values()}


def test_root_in_a_closed_directory(account: Account, closed_clone: Path) -> None:
    directory = closed_clone / ".tandem"
    python = closed_clone / ".venv" / "bin" / "python"
    options: dict[str, Any] = {"python": python, "project": closed_clone, "path": (), "cache": directory / "cache"}
    assert not account.can_enter(closed_clone)

    with starter(directory, *STORES, **options) as parent:
        servers = parent.up()
        homes = [Path(server["home"]) for server in servers.values()]
        assert users(servers) == {account.uid}
        for server in servers.values():
            program = Path(psutil.Process(server["pid"]).exe())
            assert not program.is_relative_to(closed_clone.parent), f"{program} runs from where it cannot be entered"
        stand_in = (directory / LINK).resolve()
        assert [home.parent for home in homes] == [stand_in] * len(homes)
        with psycopg.connect(servers["postgres"]["url"], autocommit=True) as connection:
            connection.execute("CREATE TABLE kept ()")
        processes = parent.descendants()
        parent.kill()
        assert gone(processes, homes) == []

    with starter(directory, "postgres", **options) as parent:
        again = parent.up()["postgres"]
        assert Path(again["home"]).parent == stand_in
        with psycopg.connect(again["url"]) as connection:
            connection.execute("SELECT FROM kept")
        processes = parent.descendants()
        parent.kill()
        assert gone(processes, [Path(again["home"])]) == []  # a stand-in that somebody works in stays

    software = (directory / "cache" / LINK).resolve()
    shutil.rmtree(closed_clone.parent)
    closed_clone.parent.mkdir(mode=0o700)
    enterable(closed_clone / ".tandem", account)
    assert not stand_in.exists()
    assert not software.exists()


def test_a_plain_user(account: Account, elasticsearch_archive: Path, server_directory: NewDirectory) -> None:
    python = interpreter_for(account)
    directory = server_directory("plain")
    cache = directory / "cache"
    cache.mkdir()
    link_or_copy(str(elasticsearch_archive), str(cache / elasticsearch_archive.name))
    for path in (directory, cache):
        os.chown(path, account.uid, account.gid)
    with starter(directory, *STORES, python=python, account=account, cache=cache) as parent:
        servers = parent.up()
        assert users(servers) == {account.uid}
        assert [server["home"] for server in servers.values()] == [str(directory / store) for store in STORES]
        processes = parent.descendants()
        parent.kill()
        assert gone(processes, [directory]) == []


def interpreter_for(account: Account) -> Path:
    """A Python like ours that the account can run, with our sources readable to it."""
    if not account.can_read(Path(__file__)) or not account.can_read(SITE / "psycopg" / "__init__.py"):
        pytest.skip(f"{account.name} cannot read this checkout or its environment")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (
        Path(sys.executable),
        Path("/usr/bin", f"python{version}"),
        Path("/usr/local/bin", f"python{version}"),
    ):
        if python.exists() and account.can_read(python):
            return python
    pytest.skip(f"{account.name} can run no Python {version}")
