"""Converts positions in the write-ahead log (LSN). Code uses a 64-bit number; SQL and cursors say `16/B374D848`."""

from __future__ import annotations


def lsn_text(lsn: int) -> str:
    """Returns a log position as Postgres prints it, `16/B374D848`."""
    return "%X/%X" % (lsn >> 32, lsn & 0xFFFFFFFF)  # noqa: UP031 - half the time of an f-string


def parse_lsn(text: str) -> int:
    """Reads a log position. Raises ValueError for other text."""
    high, slash, low = text.partition("/")
    if not slash or not 0 < len(high) <= 8 or not 0 < len(low) <= 8 or not (high + low).isalnum():
        raise ValueError(f"not a log position: {text[:40]!r}")
    return int(high, 16) << 32 | int(low, 16)
