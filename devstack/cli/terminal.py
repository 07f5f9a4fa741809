"""Prints everything for the command line as plain text. No text is ever markup.

Only this module, `tables` and `progress` use Rich; a house rule checks it.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from service_runtime.plain_text import json_text, visible

WIDTH_WITHOUT_TERMINAL = 200
Picture = RenderableType


class NobodyReads(Exception):  # noqa: N818 - reads as what happened
    """The reader of our output has left: `tandem … | head -1`.

    It is no OSError: the command line's parser would end the process with 1 by itself, and code that talks to servers
    would take it for a server's silence.
    """


def console(file: IO[str] | None = None, width: int | None = None) -> Console:
    """Returns the console that draws pictures, on `file` or standard output.

    It is as wide as the terminal or COLUMNS; without both, it is wide enough for every table.
    """
    stream = file or sys.stdout
    if width is None and not stream.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        width = WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def plain(text: str, style: str = "") -> Text:
    """Returns text that Rich draws without markup; it breaks a word that is too long for a line."""
    return Text(visible(text), style, overflow="fold")


def together(*pictures: Picture) -> Picture:
    """Returns pictures below each other, as one."""
    return Group(*pictures)


def show(*pictures: Picture) -> None:
    """Draws pictures on standard output, without the spaces that fill them up at the right."""
    out = console()
    with out.capture() as drawn:
        for picture in pictures:
            out.print(picture)
    _write(sys.stdout, "".join(f"{line.rstrip(' ')}\n" for line in drawn.get().splitlines()))


def say(text: str, style: str = "") -> None:
    """Prints a paragraph on standard output, wrapped between words."""
    show(plain(text, style))


def say_whole(text: str) -> None:
    """Prints a line that people copy: the terminal may wrap it, we do not."""
    _write(sys.stdout, f"{visible(text)}\n")


def complain(text: str) -> None:
    """Prints a line on standard error; ignores a closed one, because the exit code says the same."""
    with suppress(NobodyReads):
        _write(sys.stderr, f"{visible(text)}\n")


def replace_line(text: str, *, ended: bool = False) -> None:
    """Writes over the terminal's last line, and goes to the next one when this is `ended`."""
    _write(sys.stdout, f"\r\x1b[2K{visible(text)}" + ("\n" if ended else ""))


def say_json(document: Any) -> None:
    """Prints one JSON document on standard output."""
    _write(sys.stdout, f"{json_text(document)}\n")


def say_json_line(document: Any) -> None:
    """Prints one JSON document in a line."""
    _write(sys.stdout, f"{json_text(document, indent=None)}\n")


def when_nobody_reads(stop: Callable[[], object]) -> None:
    """Calls `stop` when the reader of our output leaves: `tail | head -1` ends after the first line."""
    try:
        output = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(output).st_mode):
            # Nothing can be read from this end of a pipe; it becomes readable when the other end is closed.
            asyncio.get_running_loop().add_reader(output, stop)
    except (OSError, ValueError):
        return


def _write(stream: IO[str], text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise NobodyReads from None


@contextmanager
def live_picture(*, whole: bool) -> Iterator[Callable[[Picture], None]]:
    """Yields a function that draws a picture over the one that it drew before.

    If `whole` is true it uses the whole screen, otherwise only the lines that the earlier picture took.
    """
    with Live(console=console(), auto_refresh=False, screen=whole) as live:
        yield lambda picture: live.update(picture, refresh=True)
