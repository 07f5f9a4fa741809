"""What running processes export is what the reference page lists; TANDEM_WRITE_REFERENCE=1 writes the page instead."""

from __future__ import annotations

import asyncio
import os
import urllib.request

from devstack.reference_pages import DIRECTORY, metrics
from tests.fixtures.system import System

PAGE = DIRECTORY / "metrics.md"
TITLES = {
    "command": "command_service serve",
    "relay": "relay",
    "query-project": "query_service project",
    "query-serve": "query_service serve",
}


def scrape(address: str) -> str:
    """The text of a process's /metrics."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        return str(answer.read(), "utf-8")


async def test_the_page_of_metrics_is_current(system: System) -> None:
    scrapes = {}
    for name, title in TITLES.items():
        scrapes[title] = await asyncio.to_thread(scrape, system.processes[name].probes)
    page = metrics(scrapes)
    if os.environ.get("TANDEM_WRITE_REFERENCE"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page
