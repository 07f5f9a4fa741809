"""The way of an order, as docs/architecture.md lists it: the functions that one PlaceOrder enters, in this order."""

from __future__ import annotations

import inspect
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from tandem.orders.v1.order_command_service_pb2 import HoldOrderRequest
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from command_service.handlers import order_commands
from command_service.handlers.call_terms import call_terms
from command_service.handlers.order_imports import OrderImports
from command_service.metrics import CommandMetrics
from service_runtime.edge.call_limits import ConcurrencyLimit, LimitedMethods
from service_runtime.edge.service_methods import service_methods
from tests.support.commands.command_application import application
from tests.support.commands.orders import place_order_request

ROOT = Path(__file__).parents[3]
PRODUCT = ("command_service", "service_runtime", "protos")
#: Functions that turn one value into another (amounts, times, states, sizes, digests, parts of texts, checks of single
#: fields), and those that only wait for something or pass it on.
VALUES = (
    *("command_service/domain/labels", "command_service/domain/line", "command_service/domain/money"),
    "command_service/domain/order",
    *("command_service/domain/order_number", "command_service/domain/states", "command_service/wire/values"),
    *("command_service/wire/json_sizes", "command_service/handlers/caller", "command_service/handlers/order_checks"),
    *(
        "protos/tandem/orders/minor_units",
        "protos/tandem/orders/partition",
        "protos/tandem/orders/consistency_token",
        "service_runtime/countdown",
    ),
    *("service_runtime/edge/field_checks", "service_runtime/edge/characters"),
    *("command_service/storage/connection/message_writer", "command_service/storage/connection/round_trip:Answer.row"),
    *(
        "command_service/wire/json_text",
        "command_service/wire/order_json:_order",
        "command_service/wire/order_json:_line",
    ),
    *("command_service/wire/order_json:moment_json", "command_service/wire/order_json:_amounts_in"),
    *("command_service/wire/order_json:_amounts_in.money", "command_service/wire/order_messages:_fill_line"),
    *(f"command_service/wire/event_json:{name}" for name in ("_address", "_change", "headers_json")),
    *("command_service/wire/representation:_token", "command_service/storage/order_rows:_address"),
    *("command_service/domain/computed_once", "command_service/storage/connection/turns"),
    "command_service/storage/connection/arrays",
    *(f"command_service/storage/connection/round_trip:_Ear.{name}" for name in ("hear", "close")),
    *("command_service/domain/hash_chain:microseconds", "service_runtime/edge/service_methods:_seconds"),
)
#: No more than this: whoever follows an order must come to the end.
MOST = 60


def hop(code: CodeType) -> str | None:
    """`module:function`, None for what is no hop: properties, constructors, comprehensions, conversions of values."""
    path = Path(code.co_filename)
    if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in PRODUCT:
        return None
    module = path.relative_to(ROOT).with_suffix("").as_posix()
    name = code.co_qualname.replace(".<locals>", "")
    if {module, f"{module}:{name}"} & set(VALUES) or "<" in name or name.endswith("__init__") or is_property(code):
        return None
    return f"{module}:{name}"


def is_property(code: CodeType) -> bool:
    """Whether the code is a method's that is read like a field."""
    module = inspect.getmodule(code)
    owner, _, name = code.co_qualname.rpartition(".")
    return bool(owner) and not callable(getattr(getattr(module, owner, None), name, print))


async def hops_of(url: str, *requests: tuple[str, Message]) -> list[str]:
    """The hops of the last call, made after the others by a caller over gRPC."""
    entered: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (name := hop(frame.f_code)) is not None:
            entered.setdefault(name)

    async with application(url) as orders:
        metrics = CommandMetrics()
        imports = OrderImports(orders.execution, metrics, streams=1, at_once=1)
        commands = order_commands.OrderCommands(orders.execution, orders.redact_customer, imports, metrics)
        methods = service_methods(order_commands.SERVICE, commands.behaviours(), call_terms(metrics.call, 300.0))
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((LimitedMethods(methods, ConcurrencyLimit(9, status_pb2.Status(code=8))),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub: Any = OrderCommandServiceStub(channel)
                *before, (method, request) = requests
                for name, each in before:
                    await getattr(stub, name)(each, timeout=300)
                await orders.pool.all_ended()
                sys.setprofile(note)
                await getattr(stub, method)(request, timeout=300)
                sys.setprofile(None)
                await orders.pool.all_ended()
        finally:
            sys.setprofile(None)
            await server.stop(None)
    return list(entered)


def listed() -> Sequence[str]:
    """The hops that the page lists."""
    _, _, section = (ROOT / "docs/architecture.md").read_text().partition("\n## The way of an order\n")
    return re.findall(r"^\d+\. `([^`]+)`", section.partition("\n## ")[0], re.MULTILINE)


async def test_the_page_lists_the_way_of_an_order(command_database: str) -> None:
    source = random.Random(1)
    first, request = place_order_request(source), place_order_request(source)
    way = await hops_of(command_database, ("PlaceOrder", first), ("PlaceOrder", request))
    assert list(listed()) == way
    assert len(way) <= MOST


async def test_another_way_is_noticed(command_database: str) -> None:
    placed = place_order_request(random.Random(1))
    hold = HoldOrderRequest(request_id=placed.request_id[:-1] + "f", order_id=placed.order_id)
    way = await hops_of(command_database, ("PlaceOrder", placed), ("HoldOrder", hold))
    assert "command_service/domain/decisions/hold_order:decide_hold_order" in way
    assert way != list(listed())
