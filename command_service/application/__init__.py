"""Holds the use cases of callers, one per file, over ports that storage and wire implement."""
