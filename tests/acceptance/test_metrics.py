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
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from audit.bootstrap import migrate, notary, witness
from audit.config import AuditSettings
from devstack.servers.http_probe import get_status
from devstack.servers.ports import HOST, free_port
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


async def audit_scrape(
    system: System, work: Callable[[AuditSettings, asyncio.Event], Coroutine[Any, Any, None]], directory: Path
) -> str:
    """The text of /metrics of a notary or a witness beside the system."""
    listen, probes = (f"{HOST}:{free_port()}" for _ in range(2))
    given: dict[str, Any] = {
        "database_url": system.postgres_url,
        "nats_url": system.nats_url,
        "stream": system.stream,
        "key_file": directory / "log.key",
        "witness_directory": directory / "witness",
        "log_key": str(directory / "log.key.pub"),
        "witness_listen": listen,
        "probes_listen": probes,
    }
    settings = AuditSettings(**given)
    await migrate(settings)
    stop = asyncio.Event()
    running = asyncio.create_task(work(settings, stop))

    async def ready() -> bool:
        return await get_status(int(probes.rpartition(":")[2]), "/readyz") == 200

    try:
        await eventually(ready, f"{work.__name__} is ready")
        return await asyncio.to_thread(scrape, probes)
    finally:
        stop.set()
        await running


async def test_the_page_of_metrics_is_current(system: System, tmp_path: Path) -> None:
    scrapes = {}
    for name, title in TITLES.items():
        scrapes[title] = await asyncio.to_thread(scrape, system.processes[name].probes)
    for work, title in ((notary, "audit notary"), (witness, "audit witness")):
        scrapes[title] = await audit_scrape(system, work, tmp_path)
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
        example = rf'stage_seconds_bucket{{[^}}]*stage="(\w+)"[^}}]*}} \S+ # {{trace_id="{trace}"}}'
        return set(re.findall(example, page)) == {"published", "received", "applied", "searchable"}

    await eventually(shown, "the trace at every stage", every=0.2)
