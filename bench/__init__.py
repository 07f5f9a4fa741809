"""Benches: every limit on speed that the project claims, measured on real servers, with floors and peers beside."""
