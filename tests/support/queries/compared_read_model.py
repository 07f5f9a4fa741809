"""A read model on the store in memory that is compared with a write side, and faults that are planted in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tandem.orders.partition import partition_of

from query_service.application.comparing.compare import Comparison, ReadModelComparison
from query_service.application.comparing.drift_check import DriftCheck, DriftReport
from query_service.application.comparing.findings import Kind
from query_service.application.comparing.generation_check import GenerationCheck
from query_service.application.reprojecting.reproject import Reprojector
from query_service.projection.project import project
from query_service.projection.recorded_event import stream_event
from query_service.storage.memory import MemoryStore
from tests.support.queries.memory_source import MemorySource

NOW = 1_800_000_000_000_000


class ReadModel:
    """A store and its source; three versions of each of 20 orders are projected."""

    def __init__(self) -> None:
        self.store, self.source = MemoryStore(), MemorySource()
        self.order_ids = [self.source.place(3) for _ in range(20)]
        self.clock = 0.0
        self.reprojector = Reprojector(self.store, self.source, stream="ORDERS", now=lambda: NOW)

    async def projected(self) -> ReadModel:
        """Projects everything."""
        await self.source.project_into(self.store)
        return self

    async def compare(self, sample: int | None = None, turn: int | None = None) -> Comparison:
        """Runs a comparison that never waits for long."""
        comparison = ReadModelComparison(self.store, self.source, partition_of, lambda: self.clock, patience=0)
        return await comparison(sample, turn)

    async def check(self, **options: Any) -> DriftReport:
        """Runs a round."""
        return await drift_check({"g1": self})(repair=True, **options)

    def generation_check(self, name: str) -> GenerationCheck:
        """Returns the check of this store, as that of a generation."""
        comparison = ReadModelComparison(self.store, self.source, partition_of, lambda: self.clock, patience=0)
        return GenerationCheck(name, self.store, comparison, self.reprojector)

    def put(self, table: str, key: str, change: Callable[[Any], Any]) -> None:
        """Replaces a stored document; None removes it."""
        documents: dict[str, tuple[int, Any]] = getattr(self.store, f"_{table}")
        version, document = documents[key]
        if (changed := change(document)) is None:
            del documents[key]
        else:
            documents[key] = version, changed


def drift_check(models: Mapping[str, ReadModel | str]) -> DriftCheck:
    """Returns a check of these generations, the one that answers readers first. A text says why one is passed over."""

    async def fed() -> dict[str, str]:
        return {name: model if isinstance(model, str) else "" for name, model in models.items()}

    def check_of(name: str) -> GenerationCheck:
        model = models[name]
        assert isinstance(model, ReadModel)
        return model.generation_check(name)

    first = next(model for model in models.values() if isinstance(model, ReadModel))
    return DriftCheck(first.store, fed, check_of, lambda: NOW)


def plant(model: ReadModel, kind: Kind, order_id: str) -> None:
    """Damages an order in one way."""
    match kind:
        case Kind.DOCUMENT_MISSING:
            model.put("orders", order_id, lambda document: None)
        case Kind.DOCUMENT_ALTERED:
            model.put("orders", order_id, lambda document: {**document, "total": 1})
        case Kind.DOCUMENT_OLDER:
            older = project(stream_event(model.source.journals_by_id[order_id][0], 1)).order
            model.put("orders", order_id, lambda document: older)
        case Kind.ENTRY_MISSING:
            model.put("entries", f"{order_id}/2", lambda entry: None)
        case Kind.ENTRY_ALTERED:
            model.put("entries", f"{order_id}/2", lambda entry: {**entry, "actor": "somebody else"})
        case Kind.ORDER_UNKNOWN:
            del model.source.journals_by_id[order_id]
        case Kind.PARKED_UNRECORDED:
            events = model.source.journals_by_id[order_id]
            events[-1] = replace(events[-1], headers=events[-1].headers.replace('version":"1"', 'version":"9"'))
            plant(model, Kind.DOCUMENT_MISSING, order_id)
        case Kind.VERSION_LOST:
            del model.source.journals_by_id[order_id][-1]
            model.source.source_epoch = 2
        case _:
            raise AssertionError(kind)


KINDS = [kind for kind in Kind if kind is not Kind.INDEX_SWAPPED]
