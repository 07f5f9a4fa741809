"""Shows a bar with rate and time left; without a terminal a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from devstack.cli.terminal import complain, console

LINE_EVERY_SECONDS = 5.0


@contextmanager
def progress_bar(title: str, total: int | None, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Yields `advance(done)`; prints nothing at all unless `shown`. `total` may be unknown."""
    if not shown:
        yield lambda _: None
    elif sys.stderr.isatty():
        yield from _bar(title, total)
    else:
        yield from _lines(title, total)


def _bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    words = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[rate]}", markup=False)
    columns = (words[0], BarColumn(), MofNCompleteColumn(), words[1], TimeRemainingColumn())
    with Progress(*columns, console=console(sys.stderr)) as progress:
        task, begun = progress.add_task(title, total=total, rate=""), time.monotonic()

        def advance(done: int) -> None:
            rate = done / max(time.monotonic() - begun, 1e-3)
            progress.update(task, completed=done, rate=f"{rate:,.0f}/s")

        yield advance


def _lines(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    begun = printed = time.monotonic()

    def advance(done: int) -> None:
        nonlocal printed
        now = time.monotonic()
        if now - printed >= LINE_EVERY_SECONDS:
            printed, rate = now, done / (now - begun)
            left = f", {(total - done) / rate if rate else 0:.0f} s left" if total is not None else ""
            complain(f"{title}: {done}/{'?' if total is None else total}, {rate:,.0f}/s{left}")

    yield advance
