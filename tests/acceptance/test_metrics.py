"""What running processes export is what the reference page lists; TANDEM_WRITE_REFERENCE=1 writes the page instead.

A traced order can be found from the histograms of its lag.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import urllib.request
import uuid

from docs.generator.pages import DIRECTORY, metrics
from tests.fixtures.system import System
from tests.support.commands.orders import place_order_request
from tests.support.queries.read_side import eventually

PAGE = DIRECTORY / "metrics.md"
TITLES = {
    "command": "command_service serve",
    "relay": "relay",
    "query-project": "query_service project",
    "query-serve": "query_service serve",
}


def scrape(address: str) -> str:
    """The text of a process's /metrics."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
        return str(answer.read(), "utf-8")


async def test_the_page_of_metrics_is_current(system: System) -> None:
    scrapes = {}
    for name, title in TITLES.items():
        scrapes[title] = await asyncio.to_thread(scrape, system.processes[name].probes)
    page = metrics(scrapes)
    if os.environ.get("TANDEM_WRITE_REFERENCE"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page


async def test_a_traced_order_is_an_example_of_every_stage(system: System) -> None:
    trace = uuid.uuid4().hex
    traced = (("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),)
    await system.commands.PlaceOrder(place_order_request(random.Random(8)), metadata=traced, timeout=60)
    probes = system.processes["query-project"].probes

    async def shown() -> bool:
        page = await asyncio.to_thread(scrape, probes)
        example = rf'stage_seconds_bucket{{le="[^"]+",stage="(\w+)"}} \S+ # {{trace_id="{trace}"}}'
        return set(re.findall(example, page)) == {"published", "received", "applied", "searchable"}

    await eventually(shown, "the trace at every stage", every=0.2)
