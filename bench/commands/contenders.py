"""Runs what `bench.commands` compares: commands of the service, an empty method, and the same SQL without a service."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial

from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest

from bench.commands.aggregate_saves import EventsourcingSaves
from bench.commands.calls import CALLERS, PAY, PLACE, SHIP, closed_loop, orders, payments, shipments, texts
from bench.commands.cost_claims import at
from bench.commands.pgbench import CUSTOMERS, Life, by_pgbench
from bench.commands.rows import copy_write_model, make_write_model
from bench.commands.servers import Serving
from bench.commands.statements import Recorded, SendAll, by_psycopg, by_transactions, record
from bench.harness.process_usage import cpu_seconds
from bench.harness.rounds import Figures, Run
from bench.harness.servers import Servers
from bench.harness.settings import BenchSettings

EMPTY = "empty method"
PEER = "eventsourcing's aggregate save"
#: The commands of an order's life, in their order, and the gRPC methods.
LIFE = {"PlaceOrder": PLACE, "RecordPayment": PAY, "ShipOrder": SHIP}
#: One caller is slower, and differs less from call to call, so a run with one has this many times fewer calls.
ONE_CALLERS_SHARE = 2
#: What is only told beside the claims has this many times fewer calls.
BESIDE_SHARE = 4
#: Sample orders have two lines on average.
LINES = 2
_TEMPLATE = "bench_template"


def pgbench_of(command: str) -> str:
    """Returns the name of a command's SQL by pgbench."""
    return f"{command}'s SQL by pgbench"


class Contenders:
    """What is measured and compared in one round.

    The orders that a run of PlaceOrder has placed are paid and shipped by the next runs with as many callers.
    """

    def __init__(self, settings: BenchSettings, servers: Servers, *, empty: Serving, ours: Serving) -> None:
        self._settings, self._servers = settings, servers
        self._empty, self._ours = empty, ours
        self._peer = EventsourcingSaves(settings, servers)
        self._placed: dict[int, list[PlaceOrderRequest]] = {}
        self._made = 0
        self._url = ""
        self._recorded = Recorded([], [], [])
        self._life = Life({}, {})

    async def prepare(self) -> None:
        """Records the statements of some orders' lives, which all rounds send again."""
        await make_write_model(self._servers, _TEMPLATE, 0)
        count = self._settings.calls // BESIDE_SHARE
        placed = sorted(orders(count), key=lambda order: len(order.lines) != LINES)
        recording = await self._new_database()
        self._recorded = await record(recording, placed, payments(placed), shipments(placed[:1]))
        self._life = Life.of(self._recorded, placed[0].customer.customer_id)

    def runs(self) -> dict[str, Run]:
        """Returns the runs by name, in the order in which a round executes them."""
        runs: dict[str, Run] = {}
        for callers in CALLERS:
            runs[at(EMPTY, callers)] = partial(self._call_empty, callers)
            for command in LIFE:
                runs[at(command, callers)] = partial(self._call, command, callers)
                runs[at(pgbench_of(command), callers)] = partial(self._pgbench, command, callers)
            place, pay = "PlaceOrder's statements", "RecordPayment's statements"
            runs[at(f"{place} by psycopg", callers)] = partial(self._statements, callers, by_psycopg)
            runs[at(f"{place} as the service sends them", callers)] = partial(
                self._statements, callers, by_transactions
            )
            runs[at(f"{pay} as the service sends them", callers)] = partial(
                self._statements, callers, by_transactions, pay=True
            )
        runs[at(PEER, 16)] = partial(self._peer.run, 16)
        return runs

    def _count(self, callers: int) -> int:
        return self._settings.calls // (ONE_CALLERS_SHARE if callers == 1 else 1)

    async def _call_empty(self, callers: int) -> Figures:
        return await timed_calls(self._empty, PLACE, texts(orders(self._count(callers))), callers)

    async def _call(self, command: str, callers: int) -> Figures:
        if command == "PlaceOrder":
            self._placed[callers] = _of_many_customers(self._count(callers))
        placed = self._placed[callers]
        requests = {"PlaceOrder": texts, "RecordPayment": payments, "ShipOrder": shipments}[command](placed)
        return await timed_calls(self._ours, LIFE[command], requests, callers)

    async def _pgbench(self, command: str, callers: int) -> Figures:
        if command == "PlaceOrder":
            self._url = await self._new_database()
        directory = self._servers.directory / "pgbench"
        return await by_pgbench(self._url, self._life, command, callers, self._settings.calls, directory)

    async def _statements(self, callers: int, send: SendAll, *, pay: bool = False) -> Figures:
        url = await self._new_database()
        figures = await send(url, self._recorded.places, callers)
        return await send(url, self._recorded.payments, callers) if pay else figures

    async def _new_database(self) -> str:
        self._made += 1
        return await copy_write_model(self._servers, _TEMPLATE, f"bench_copy_{self._made}")


def _of_many_customers(count: int) -> list[PlaceOrderRequest]:
    """Returns requests for sample orders by as many customers as the SQL by pgbench has.

    In a sample shop one customer places half of the orders, and transactions wait for each other at its row.
    """
    made = orders(count)
    for number, order in enumerate(made):
        order.customer.customer_id = f"S{number % CUSTOMERS}"
    return made


async def timed_calls(server: Serving, method: str, requests: Sequence[bytes], callers: int) -> Figures:
    """Returns the figures of `closed_loop`, and the server's CPU time per call in µs."""
    before = cpu_seconds(server.pid)
    figures, _ = await closed_loop(server.address, method, requests, callers)
    return {**figures, "server_cpu_us": 1e6 * (cpu_seconds(server.pid) - before) / len(requests)}


async def answer_bytes(server: Serving) -> int:
    """Returns the size of the response to a PlaceOrder, in bytes."""
    _, answers = await closed_loop(server.address, PLACE, texts(orders(20)), 1)
    return round(statistics.median(len(answer) for answer in answers))


class BesideRows:
    """PlaceOrder and RecordPayment with 16 callers, by a service whose write model is empty, and by one with rows."""

    def __init__(self, settings: BenchSettings, *, empty: Serving, large: Serving) -> None:
        self._settings = settings
        self._servers = {"no rows": empty, f"{settings.rows} rows": large}

    def runs(self) -> dict[str, Run]:
        """Returns the runs by name."""
        runs: dict[str, Run] = {}
        for name, server in self._servers.items():
            runs[f"PlaceOrder beside {name}"] = partial(self._place, server)
            runs[f"RecordPayment beside {name}"] = partial(self._pay, server)
        return runs

    async def _place(self, server: Serving) -> Figures:
        return await timed_calls(server, PLACE, texts(orders(self._settings.calls)), 16)

    async def _pay(self, server: Serving) -> Figures:
        placed = orders(self._settings.calls)
        await closed_loop(server.address, PLACE, texts(placed), 16)
        return await timed_calls(server, PAY, payments(placed), 16)
