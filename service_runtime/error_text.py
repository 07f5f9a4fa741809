"""Puts errors into words for operators."""

from __future__ import annotations


def in_one_line(error: BaseException) -> str:
    """Says what an error says, in one line. Some say nothing, such as one for what did not come in time."""
    return " ".join(str(error).split()) or ("no answer" if isinstance(error, TimeoutError) else type(error).__name__)
