"""Quantiles of measured values."""

from __future__ import annotations


def quantile(ascending: list[float], fraction: float) -> float:
    """Returns the value that `fraction` of the values do not exceed."""
    return ascending[min(int(len(ascending) * fraction), len(ascending) - 1)]
