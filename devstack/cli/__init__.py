"""The `tandem` command line. Importing it is cheap: each command imports what it needs when it runs."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `tandem` command."""
    from devstack.cli.app import run

    run()
