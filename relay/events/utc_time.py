"""Formats times on the relay's pages and in its documents: UTC, milliseconds, a Z."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_text(seconds: float) -> str:
    """Returns `2026-11-27T08:00:00.000Z` for seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
