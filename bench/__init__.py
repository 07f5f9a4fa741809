"""Benches: they measure every limit on speed that the project claims, on real servers, beside floors and peers."""
