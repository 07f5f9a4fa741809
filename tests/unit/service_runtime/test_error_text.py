"""Errors are put into one line, and those that say nothing into words."""

from __future__ import annotations

import pytest

from service_runtime.error_text import in_one_line


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError("connection refused\n\tIs the server running?\n"), "connection refused Is the server running?"),
        (TimeoutError(), "no answer"),
        (TimeoutError("3 s are over"), "3 s are over"),
        (BrokenPipeError(), "BrokenPipeError"),
    ],
)
def test_an_error_is_one_line(error: Exception, says: str) -> None:
    assert in_one_line(error) == says
