"""Draws tables that fit: columns if the terminal is wide enough, otherwise several lines per row. Nothing is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from devstack.cli.terminal import Picture, plain

_GAP = 2
_INDENT = 4


@dataclass(frozen=True)
class Column:
    """A heading, and how the cells below it are drawn.

    `folds`: a cell may wrap over several lines; ids and amounts must not. `named`: the heading is repeated before the
    value in a row that takes several lines.
    """

    heading: str
    right: bool = False
    folds: bool = False
    named: bool = True


class Rows:
    """Rows of plain text under headings. Empty columns are left out. A cell may have its own style (see `plain`)."""

    def __init__(self, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
        made = [[plain(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
        used = [number for number in range(len(columns)) if any(row[number].plain for row in made)]
        self._columns = [columns[number] for number in used]
        self._rows = [[row[number] for number in used] for row in made]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table() if self._least_width() <= options.max_width else self._stacked(options.max_width)

    def _least_width(self) -> int:
        return sum(map(self._least_column_width, range(len(self._columns)))) + _GAP * (len(self._columns) - 1)

    def _least_column_width(self, number: int) -> int:
        """Returns the width at which no cell breaks, or no word if the column folds."""
        texts = [self._columns[number].heading, *(row[number].plain for row in self._rows)]
        parts = (text.split() if self._columns[number].folds else [text] for text in texts)
        return max((cell_len(part) for text in parts for part in text), default=0)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for number, column in enumerate(self._columns):
            table.add_column(
                plain(column.heading),
                justify="right" if column.right else "left",
                no_wrap=not column.folds,
                overflow="fold",
                min_width=self._least_column_width(number),
            )
        for row in self._rows:
            table.add_row(*row)
        return table

    def _stacked(self, width: int) -> Text:
        """Draws each row's cells one after the other, over as many lines as they need; later lines are indented."""
        lines = [line for row in self._rows for line in self._lines(row, width)]
        return Text("\n", overflow="fold").join(lines)

    def _lines(self, row: Sequence[Text], width: int) -> list[Text]:
        lines: list[Text] = []
        for column, cell in zip(self._columns, row, strict=True):
            if not cell.plain:
                continue
            piece = Text.assemble(plain(f"{column.heading} ", "dim"), cell) if column.named else cell
            if lines and lines[-1].cell_len + _GAP + piece.cell_len <= width:
                lines[-1] = Text.assemble(lines[-1], " " * _GAP, piece)
            else:
                lines.append(Text.assemble(" " * _INDENT, piece) if lines else piece)
        return lines


class Facts:
    """Pairs of name and text, one per line, in two columns, or one column where two would break a word.

    Pairs without a text are left out.
    """

    def __init__(self, pairs: Iterable[tuple[str, str | Text]]) -> None:
        made = ((name, plain(text) if isinstance(text, str) else text) for name, text in pairs)
        self._pairs = [(name, text) for name, text in made if text.plain]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        names = max((cell_len(name) for name, _ in self._pairs), default=0)
        words = (cell_len(word) for _, text in self._pairs for word in text.plain.split())
        if names + _GAP + max(words, default=0) > options.max_width:
            for name, text in self._pairs:
                yield Text.assemble(plain(f"{name} ", "bold"), text, overflow="fold")
            return
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in self._pairs:
            table.add_row(plain(name), text)
        yield table


def indented(text: str) -> Picture:
    """Returns an indented paragraph."""
    return Padding(plain(text), (0, 0, 0, _INDENT))
