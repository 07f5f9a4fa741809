"""What the library's connection pool says of an outage stays out of the log; all else it warns of is there."""

from __future__ import annotations

import asyncio
import logging

import pytest
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from service_runtime.log import tells_more_than_an_outage


async def _records_of_an_outage(port: int, caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    nobody = f"postgresql://nobody@127.0.0.1:{port}/none"
    pool = AsyncConnectionPool(nobody, min_size=2, open=False, timeout=0.2, reconnect_timeout=0.1)
    with caplog.at_level(logging.WARNING, "psycopg.pool"):
        await pool.open()
        with pytest.raises(PoolTimeout):
            await pool.getconn()
        async with asyncio.timeout(60):
            while not any("reconnection attempt" in record.getMessage() for record in caplog.records):
                await asyncio.sleep(0.01)
        await pool.close()
    return caplog.records


async def test_attempts_to_connect_are_not_told(unused_tcp_port: int, caplog: pytest.LogCaptureFixture) -> None:
    records = await _records_of_an_outage(unused_tcp_port, caplog)
    assert len(records) > 1
    assert [record.getMessage() for record in records if tells_more_than_an_outage(record)] == []


def test_a_connection_that_comes_back_in_a_transaction_is_told() -> None:
    record = logging.makeLogRecord({"name": "psycopg.pool", "msg": "rolling back returned connection: %s"})
    assert tells_more_than_an_outage(record)
