"""The `tandem` command line. Importing it is cheap: each command imports what it needs when it runs."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `tandem` command."""
    import sys

    from devstack.cli.running import run

    sys.exit(run(sys.argv[1:]))
