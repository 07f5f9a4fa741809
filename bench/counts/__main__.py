"""Prints all counts as JSON, and compares them with the committed ones; `--write` replaces those instead."""

from __future__ import annotations

import argparse
import asyncio
import sys

from bench.counts.baseline import BASELINE, as_text, committed, differences, report, write
from bench.counts.counting import counting
from bench.counts.running_stack import ServerUrls
from bench.harness.progress import tell
from bench.harness.servers import running_read_servers
from service_runtime.log import configure_logging


async def main(replace: bool) -> int:
    """Takes the counts on servers of its own. Returns 1 when they differ from the committed ones, otherwise 0."""
    configure_logging("counts", "ERROR")
    async with running_read_servers() as servers:
        urls = ServerUrls(servers.postgres.url, servers.nats.url, servers.elasticsearch.url)
        async with counting(urls) as running:
            tell("services run and are warm")
            document = await running.document()
            tell("counted")
    print(as_text(document), end="")
    if replace:
        write(document)
        return 0
    if not BASELINE.exists():
        tell(f"there is no {BASELINE.name} to compare with")
        return 1
    if found := differences(document, committed()):
        print(report(found), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="python -m bench.counts", description=__doc__)
    arguments.add_argument("--write", action="store_true", help="replace the committed counts")
    sys.exit(asyncio.run(main(arguments.parse_args().write)))
