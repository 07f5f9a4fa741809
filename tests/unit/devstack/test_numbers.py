"""Every option that takes a number refuses what only Python reads as one, and what nobody could hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from devstack.cli.app import command_line
from devstack.cli.numbers import MOST, number, whole
from devstack.cli.running import run

WRONG = ("1_000", " 7", "٣", "²", "1e3", "0x10", "nan", "inf", "", "ten", "--", "99999999999999999999")
#: Placeholders of options that take numbers.
OF_NUMBERS = {"N", "P", "SECONDS"}


def options(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """(words of the command, option) of all options that take a number."""
    for name, below in getattr(command, "commands", {}).items():
        yield from options(below, (*path, name))
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.metavar in OF_NUMBERS:
            yield path, parameter.opts[0]


OPTIONS = list(options(command_line()))


def test_there_are_such_options() -> None:
    assert len(OPTIONS) > 12


@pytest.mark.parametrize(
    ("path", "option"), OPTIONS, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_what_is_no_number_is_wrong_usage(
    path: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in ("1_000", "nan"):
        assert run([*path, f"{option}={word}"]) == 2, word
        said = capsys.readouterr().err
        assert f"Invalid value for '{option}': {word!r} is no " in said, said
        assert len(said.splitlines()) == 1, said


@pytest.mark.parametrize("word", ["0", "7", "+7", "200", "007"])
def test_a_whole_number_is_read(word: str) -> None:
    assert whole(0, 200)(word) == number(0, 200)(word) == int(word)


@pytest.mark.parametrize("word", WRONG)
def test_what_is_no_number_is_not_read(word: str) -> None:
    for read in (whole(), number(0, 1e30)):
        with pytest.raises(ValueError, match="is no "):
            read(word)


def test_the_bounds_are_told() -> None:
    for word in ("0", "201", "-1", "5.0"):
        with pytest.raises(ValueError, match="is no whole number from 1 to 200"):
            whole(1, 200)(word)
    assert whole(-MOST)(str(-MOST)) == -MOST
    assert number(0, 5)("2.") == 2.0
    with pytest.raises(ValueError, match="is no number from 0 to 5"):
        number(0, 5)("5.000001")
