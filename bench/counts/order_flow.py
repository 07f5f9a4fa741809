"""Counts what a command costs on its way: in Postgres, as a message of the stream, and in the read model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest

from bench.counts.command_counter import CommandCounter
from bench.counts.event_counter import EventCounter
from bench.counts.running_stack import RunningStack
from bench.counts.sample_calls import SampleCalls
from bench.counts.steady import Samples
from bench.counts.store_counter import StoreCounter

#: The commands that are counted, in the order in which an order gets them.
COMMANDS = ("PlaceOrder", "RecordPayment", "ShipOrder")
#: The parts in which each command is counted.
PARTS = ("commands", "events", "projection")
WITHIN_SECONDS = 60.0
#: An order takes at least this long. A message tells how many events came since the relay's last checkpoint, of which
#: there are two a second: so it is a number of one digit on fast machines too.
PACE_SECONDS = 0.2


class OrderFlow:
    """Sends one command after the other, and waits each time until the read model has the event.

    So each event is published alone and projected alone, whatever the machine's speed.
    """

    def __init__(self, stack: RunningStack, calls: SampleCalls, inspector: psycopg.AsyncConnection[Any]) -> None:
        """`inspector` is a connection to the write model's database that does not go through a proxy."""
        traffic = stack.traffic
        self._stack, self._calls = stack, calls
        #: That of the last command.
        self.consistency_token = ""
        self._command = CommandCounter(traffic.command_to_postgres, inspector)
        self._event = EventCounter(traffic.relay_and_nats, traffic.projector_and_nats, stack.subjects, stack.barrier)
        self._projection = StoreCounter(traffic.projector_and_elasticsearch, stack.indices)

    async def warm_up(self, cities: Sequence[str]) -> list[PlaceOrderRequest]:
        """Places, pays and ships an order of each city without counting, and waits for a barrier.

        Then all statements are prepared, and the sequences of the stream that messages tell have two digits.
        """
        placed = [await self.one_order(Samples(), city) for city in cities]
        await self._event.until_barrier(WITHIN_SECONDS)
        return placed

    async def one_order(self, samples: Samples, city: str) -> PlaceOrderRequest:
        """Places, pays and ships one order, and adds a sample of each step's counts."""
        over = time.monotonic() + PACE_SECONDS
        placed = self._calls.place(city)
        requests = (placed, self._calls.pay(placed.order_id), self._calls.ship(placed.order_id))
        for version, (command, request) in enumerate(zip(COMMANDS, requests, strict=True), start=1):
            await self._projection.begin()
            await self._command.begin()
            self._event.begin()
            answer = await getattr(self._stack.commands, command)(request, timeout=WITHIN_SECONDS)
            self.consistency_token = answer.consistency_token
            await self._event.until_projected(WITHIN_SECONDS)
            # Only now, so that what a service does after its answer counts too.
            samples.add(f"commands.{command}", await self._command.figures(placed.order_id, version))
            samples.add(f"projection.{command}", await self._projection.figures())
            if (published := self._event.figures()) is not None:
                samples.add(f"events.{command}", published)
        await asyncio.sleep(max(0.0, over - time.monotonic()))
        return placed
