"""Assembles the read store on Elasticsearch from its parts."""

from __future__ import annotations

from dataclasses import asdict

from query_service.application.ports.generations import Generations
from query_service.application.ports.read_store import Freshness, Standing
from query_service.storage.physical.connection import DEPENDENCY, ElasticsearchConnection
from query_service.storage.physical.drift_records import DriftRecords
from query_service.storage.physical.figures.order_figures import FigureReader
from query_service.storage.physical.figures.payment_figures import PaymentReader
from query_service.storage.physical.generations.lifecycle import IndexGenerations
from query_service.storage.physical.generations.readers_aliases import ReadersAliases
from query_service.storage.physical.generations.setup import IndexSetup
from query_service.storage.physical.lists import OrderLists
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.parking import ParkingLot
from query_service.storage.physical.reader import AS_OF, DocumentReader, as_of_id
from query_service.storage.physical.scan import IndexScan
from query_service.storage.physical.upkeep import IndexUpkeep
from query_service.storage.physical.writer import BulkWriter


class PhysicalStore:
    """Implements ReadStore on Elasticsearch. `request_timeout` is the most seconds that a request may take.

    With a `generation` it reads and writes that generation, otherwise the one that answers readers. Its methods are
    those of its parts.
    """

    name = "physical"
    dependency = DEPENDENCY

    def __init__(self, url: str, *, index_prefix: str = "", request_timeout: float = 5.0, generation: str = "") -> None:
        self.names = IndexNames(index_prefix, generation)
        self._connection = ElasticsearchConnection(url, request_timeout=request_timeout)
        setup = IndexSetup(self._connection, self.names)
        reader = DocumentReader(self._connection, self.names)
        self.orders, self.shown, self.entries, self.entry_at = (
            reader.orders, reader.shown, reader.entries, reader.entry_at,
        )  # fmt: skip
        self._freshness_of = reader.freshness_of
        lists = OrderLists(self._connection, self.names, reader)
        self.search, self.listed, self.mark = lists.search, lists.listed, lists.mark
        self.first_mark, self.marked = lists.first_mark, lists.marked
        self.parked_orders, self.refresh = lists.parked_orders, lists.refresh
        figures = FigureReader(self._connection, self.names)
        self.summarize, self.customer = figures.summarize, figures.customer
        self.payments = PaymentReader(self._connection, self.names).payments
        self._writer = BulkWriter(self._connection, self.names, setup)
        self.apply, self.fill = self._writer.apply, self._writer.fill
        self.apply_entries = self._writer.apply_entries
        self.scan = IndexScan(self._connection, self.names).scan
        upkeep = IndexUpkeep(self._connection, self.names)
        self.external_versions, self.remove = upkeep.external_versions, upkeep.remove
        drift_records = DriftRecords(self._connection, self.names)
        self.drift_record, self.save_drift_record = drift_records.drift_record, drift_records.save_drift_record
        parking = ParkingLot(self._connection, self.names)
        self.park, self.unpark, self.take_back, self.parked, self.parked_events = (
            parking.park, parking.unpark, parking.take_back, parking.parked, parking.all,
        )  # fmt: skip
        self.identity, self.prepare, self.close = setup.check, setup.prepare, self._connection.close
        self.renew_settings = setup.renew_settings
        self._generation, self.has_own_content = setup.generation, setup.has_own_content
        self.generations: Generations = IndexGenerations(self._connection, self.names, setup)
        aliases = ReadersAliases(self._connection, self.names, self.generations)
        self.swapped_indices, self.swap_back = aliases.swapped_indices, aliases.swap_back

    async def freshness(self) -> Freshness | None:
        """See OrderReader."""
        [freshness] = await self._freshness_of([self.names.generation or await self._generation()])
        return freshness

    async def standing(self) -> Standing:
        """See OrderReader."""
        serving = await self._generation()
        rebuild = (await self.generations.rebuild()).rebuild
        known = [serving] if rebuild is None or rebuild.ended else [rebuild.old, rebuild.new]
        freshness = await self._freshness_of(known)
        return Standing(serving, known, [one for one in freshness if one is not None])

    async def record_freshness(self, freshness: Freshness) -> None:
        """See ProjectionWriter. The time itself is the external version, so it never goes back."""
        await self._connection.request(
            "PUT",
            f"/{self.names.state}/_doc/{as_of_id(freshness.generation)}",
            params={"version": freshness.as_of, "version_type": "external", "require_alias": "true"},
            body={"kind": AS_OF, **asdict(freshness)},
            accept=(409,),
        )
