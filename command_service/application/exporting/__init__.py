"""Exports the write model page by page, so that read models can be rebuilt and checked."""
