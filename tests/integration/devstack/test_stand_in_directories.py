"""Stand-ins for directories that the servers' account cannot enter: whoever makes them at the same time."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devstack.servers import place
from devstack.servers.account import Account

#: Nobody of this machine: it may enter what all may.
STRANGER = Account("stranger", 4_000_000, 4_000_000, frozenset({4_000_000}))
AT_ONCE = 6


@pytest.fixture(autouse=True)
def outside(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where stand-ins of the test are. The stranger may enter everything in it, and nothing else."""
    parent = tmp_path_factory.mktemp("outside")
    monkeypatch.setattr(place, "_OUTSIDE", parent)
    monkeypatch.setattr(Account, "can_enter", lambda _, path: path.resolve().is_relative_to(parent))
    return parent


def made_at_once(directories: list[Path]) -> list[Path]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda directory: place.enterable(directory, STRANGER), directories))


def test_stand_ins_made_at_the_same_time_stay(tmp_path: Path) -> None:
    directories = [tmp_path / str(number) for number in range(AT_ONCE)]
    made = made_at_once(directories)
    assert len(set(made)) == AT_ONCE
    assert all(stand_in.is_dir() for stand_in in made)
    assert made_at_once(directories) == made


def test_all_who_need_the_same_one_get_it(tmp_path: Path) -> None:
    assert len(set(made_at_once([tmp_path / "closed"] * AT_ONCE))) == 1


def stand_in_found_without_its_link(closed: Path, outside: Path) -> Path:
    """What `closed` gets when another process comes, and cleans up if it may, just before the link is made."""
    link = Path.symlink_to

    def link_late(self: Path, target: Path) -> None:
        with (outside / ".lock").open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            place._remove_abandoned(outside)
        link(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "symlink_to", link_late)
        return place.enterable(closed, STRANGER)


def test_one_that_has_no_link_yet_is_not_abandoned(tmp_path: Path, outside: Path) -> None:
    assert stand_in_found_without_its_link(tmp_path / "closed", outside).is_dir()


@pytest.mark.mutant
def test_mutant_without_the_lock_it_is_removed(tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_exclusive", contextlib.nullcontext)
    with pytest.raises(AssertionError):
        test_one_that_has_no_link_yet_is_not_abandoned(tmp_path, outside)


def test_a_twin_that_was_faster_has_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process makes the stand-in after we saw that there was none, and before we have the lock."""
    closed, made, exclusive = tmp_path / "closed", list[Path](), place._exclusive

    @contextlib.contextmanager
    def after_the_twin(parent: Path) -> Iterator[None]:
        monkeypatch.setattr(place, "_exclusive", exclusive)
        made.append(place.enterable(closed, STRANGER))
        with exclusive(parent):
            yield

    monkeypatch.setattr(place, "_exclusive", after_the_twin)
    assert [place.enterable(closed, STRANGER)] == made
    assert made[0].is_dir()


def test_one_that_nobody_points_at_goes_with_the_next(tmp_path: Path) -> None:
    first = place.enterable(tmp_path / "first", STRANGER)
    (tmp_path / "first" / place.LINK).unlink()
    assert place.enterable(tmp_path / "second", STRANGER).is_dir()
    assert not first.exists()
