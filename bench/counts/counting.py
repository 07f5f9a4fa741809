"""Takes all counts over given servers, as one document."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import psycopg

from bench.counts.order_flow import COMMANDS, PARTS, OrderFlow
from bench.counts.queries import Queries
from bench.counts.running_stack import RunningStack, ServerUrls
from bench.counts.sample_calls import SampleCalls
from bench.counts.steady import MOST, Figures, Samples

#: The cities of the customers. Queries ask about the orders of the first; those of the other are only counted.
ASKED, COUNTED = "Köln", "Bonn"
#: The orders that are placed, paid and shipped before anything is counted. After five times the driver prepares a
#: statement, which it does with the sixth.
WARMING = (*[ASKED] * 5, COUNTED)

Document = Mapping[str, Mapping[str, Figures]]
"""Counts by part, by kind of work, and by name."""


class Counting:
    """Counts over a running stack that is warm."""

    def __init__(self, stack: RunningStack, flow: OrderFlow, queries: Queries) -> None:
        self._stack, self._flow, self._queries = stack, flow, queries

    async def document(self) -> Document:
        """Takes all counts. Raises NotSteady."""
        indices = as_document({"read model.indices": {"refreshes_a_minute": self._stack.refreshes_a_minute}})
        return {**await self.orders(), **await self.queries(), **indices}

    async def orders(self) -> Document:
        """Counts commands, events and projections. Raises NotSteady."""
        samples = Samples(*(f"{part}.{command}" for part in PARTS for command in COMMANDS))
        for _ in range(MOST):
            await self._flow.one_order(samples, COUNTED)
            if samples.steady:
                break
        return as_document(samples.figures())

    async def queries(self, *kinds: str) -> Document:
        """Counts these kinds of queries; none: all. Raises NotSteady."""
        return as_document(await self._queries.count(*kinds))


def as_document(figures: Mapping[str, Figures]) -> Document:
    """Returns figures by part and kind of work: `commands.PlaceOrder` is in the part `commands`."""
    document: dict[str, dict[str, Any]] = {}
    for name, counts in figures.items():
        part, _, work = name.partition(".")
        document.setdefault(part, {})[work] = dict(counts)
    return document


@contextlib.asynccontextmanager
async def counting(urls: ServerUrls) -> AsyncIterator[Counting]:
    """Yields the counting over services that run within the block. The Postgres must be new; see ServerUrls."""
    stack = RunningStack(urls)
    async with (
        stack.running(),
        await psycopg.AsyncConnection.connect(stack.database_url, autocommit=True) as inspector,
    ):
        flow = OrderFlow(stack, SampleCalls(), inspector)
        placed = await flow.warm_up(WARMING)
        yield Counting(stack, flow, Queries(stack, flow, placed))
