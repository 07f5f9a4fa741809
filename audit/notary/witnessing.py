"""Brings each new checkpoint to the witness, beside the notary's work, so that a slow witness delays nothing."""

from __future__ import annotations

import asyncio

import aiohttp
import psycopg
import structlog

from audit.metrics import NotaryMetrics
from audit.notary.witness_client import WitnessClient, WitnessRefuses
from audit.storage.session import open_session
from audit.storage.tree_nodes import MissingNode
from service_runtime.error_text import in_one_line
from service_runtime.outage_log import OutageLog

_log = structlog.get_logger(__name__)
#: How often it looks for a new checkpoint.
LOOK_SECONDS = 1.0


class Witnessing:
    """Looks for checkpoints that the witness has not signed. `problem` is why it does not sign; None if it does."""

    def __init__(self, database_url: str, client: WitnessClient, metrics: NotaryMetrics) -> None:
        self._database_url, self._client, self._metrics = database_url, client, metrics
        self.problem: str | None = None

    async def run(self) -> None:
        """Brings checkpoints until cancelled."""
        outages = OutageLog("witness unavailable", "witness available")
        while True:
            try:
                await self._bring(outages)
            except (psycopg.Error, OSError, MissingNode) as error:
                _log.debug("checkpoints not brought", reason=in_one_line(error))  # the notary itself tells of it
            await asyncio.sleep(LOOK_SECONDS)

    async def _bring(self, outages: OutageLog) -> None:
        connection = await open_session(self._database_url, "tandem-audit-witness")
        async with connection, aiohttp.ClientSession() as session:
            while True:
                try:
                    size = await self._client.bring(connection, session)
                except WitnessRefuses as refuses:
                    if self.problem != str(refuses):
                        _log.critical("the witness refuses the log", reason=str(refuses))
                    self.problem = str(refuses)
                except (aiohttp.ClientError, TimeoutError) as error:
                    outages.failed(in_one_line(error))
                else:
                    if size is not None:
                        self.problem = None
                        outages.works()
                        self._metrics.cosigned(size)
                await asyncio.sleep(LOOK_SECONDS)
