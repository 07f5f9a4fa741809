"""Computes quantiles of measured values."""

from __future__ import annotations


def quantile(ascending: list[float], fraction: float) -> float:
    """Returns the value that the part `fraction` (0 to 1) of the values does not exceed."""
    return ascending[min(int(len(ascending) * fraction), len(ascending) - 1)]
