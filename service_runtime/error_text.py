"""Turns errors into text for operators."""

from __future__ import annotations


def in_one_line(error: BaseException) -> str:
    """Returns an error's message in one line. For an error without a message, returns `no answer` or its class."""
    return " ".join(str(error).split()) or ("no answer" if isinstance(error, TimeoutError) else type(error).__name__)
