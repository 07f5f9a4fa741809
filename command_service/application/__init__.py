"""Executes commands over ports that storage and wire implement."""
