"""How long a command waits for somebody who may not be there: TANDEM_PATIENCE_SECONDS, 5.5 when it is not set, which
with the start of a command is below ten seconds."""

from __future__ import annotations

import os

DEFAULT_SECONDS = 5.5


#: The part of the patience in which nothing is asked; nearly every answer is there by then. The rest is for the sign.
SILENT_PART = 0.45


def sign_seconds() -> float:
    """Seconds in which whoever is there gives a sign of life."""
    return patience_seconds() * (1 - SILENT_PART)


def patience_seconds() -> float:
    """Seconds without a sign of life until a command gives up."""
    try:
        return max(0.1, float(os.environ.get("TANDEM_PATIENCE_SECONDS", "")))
    except ValueError:
        return DEFAULT_SECONDS
