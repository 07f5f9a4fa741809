"""Quantiles of measured values."""

from __future__ import annotations


def quantile(ascending: list[float], fraction: float) -> float:
    """The value that `fraction` of them do not exceed."""
    return ascending[min(int(len(ascending) * fraction), len(ascending) - 1)]
