"""The error of a tail whose source does not answer."""

from __future__ import annotations


class NobodyAnswers(Exception):  # noqa: N818 - reads as what happened
    """The source of a tail does not answer. The message says who and why."""
