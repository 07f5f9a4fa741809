"""NATS and Elasticsearch die and come back while orders flow; nothing is lost, commands go on meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fixtures.private_servers import PrivateElasticsearch, PrivateNats
from tests.fixtures.system import running_system
from tests.support.robustness.ledger import Ledger
from tests.support.robustness.traffic import Traffic
from tests.support.robustness.validate import Findings, validate
from tests.support.waiting import eventually


@pytest.mark.timeout(900)
async def test_nats_and_elasticsearch_restart(
    postgres_url: str, private_nats: PrivateNats, private_elasticsearch: PrivateElasticsearch, tmp_path: Path
) -> None:
    nats, elasticsearch = await asyncio.gather(private_nats(), private_elasticsearch())
    ledger = Ledger()
    async with running_system(postgres_url, nats.url, elasticsearch.url, tmp_path) as system:
        async with Traffic(system, ledger, seed=1, writers=4, reading=False):
            for server in (nats, elasticsearch):
                await asyncio.sleep(1)
                before = ledger.acknowledged
                await server.kill()
                await eventually(lambda count=before: ledger.acknowledged >= count + 20, "commands go on")  # type: ignore[misc]
                await server.start()
        findings = await validate(system, ledger)
    assert findings == Findings()
    assert ledger.errors == {}, "commands need neither NATS nor Elasticsearch"
