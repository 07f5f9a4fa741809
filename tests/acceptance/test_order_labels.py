"""Labels and a note on their whole way: from the caller over journal and stream into lists, facets, history and CLI."""

from __future__ import annotations

import random
import uuid
from typing import Any

import grpc
import psycopg
import pytest
from tandem.orders.consistency_token import merge
from tandem.orders.errors import from_rpc_error
from tandem.orders.v1 import order_command_service_pb2 as commands
from tandem.orders.v1 import order_query_service_pb2 as queries

from tests.acceptance.test_command_line import answered, tandem
from tests.fixtures.system import System
from tests.support.commands.imports import import_request
from tests.support.commands.orders import place_order_request
from tests.support.queries.asking import once_caught_up


def labelling(order_id: str, **fields: Any) -> commands.LabelOrderRequest:
    return commands.LabelOrderRequest(request_id=str(uuid.uuid4()), order_id=order_id, **fields)


async def placed(system: System, note: str = "", **labels: str) -> commands.PlaceOrderResponse:
    request = place_order_request(random.Random())
    request.labels.update(labels)
    request.note = note
    return await system.commands.PlaceOrder(request)


async def searched(system: System, token: str, **fields: Any) -> queries.SearchOrdersResponse:
    request = queries.SearchOrdersRequest(read_options=queries.ReadOptions(consistency_token=token), **fields)
    return await once_caught_up(system.queries.SearchOrders, request)


class Orders:
    """Four orders of one run, of which the first was labelled later; `token` names them all."""

    def __init__(self, system: System) -> None:
        self.system, self.run, self.token = system, uuid.uuid4().hex[:12], ""
        self.ids: dict[str, str] = {}

    def wrote(self, name: str, answer: Any) -> None:
        self.token = merge(*filter(None, (self.token, answer.consistency_token)))
        self.ids[name] = answer.order_id if hasattr(answer, "order_id") else answer.order.order_id

    async def write(self) -> commands.LabelOrderResponse:
        """Writes the orders; the answer to the last change of labels."""
        run = self.run
        self.wrote("first", await placed(self.system, "ring twice", run=run, channel="web", erp=f"SO/{run}-1"))
        self.wrote("second", await placed(self.system, run=run, channel="web"))
        self.wrote("third", await placed(self.system, run=run))
        request = import_request(random.Random(), note="from the old shop")
        request.labels.update({"run": run, "channel": "app"})
        [result] = [result async for result in self.system.commands.ImportOrders(iter([request]))]
        assert result.status == b""
        self.wrote("imported", result)
        changing = labelling(
            self.ids["first"], set_labels={"tier": "gold"}, remove_labels=["channel"], note="ring once"
        )
        changed = await self.system.commands.LabelOrder(changing)
        self.wrote("first", changed)
        return changed

    async def found(self, selector: str) -> set[str]:
        """The names of the orders of this run that a selector finds."""
        asked = queries.OrderFilter(label_selector=f"run={self.run}{selector}")
        names = {order_id: name for name, order_id in self.ids.items()}
        return {names[order.order_id] for order in (await searched(self.system, self.token, filter=asked)).orders}

    async def check_first(self, changed: commands.LabelOrderResponse) -> None:
        """The order and its history show what the command answered."""
        asked: dict[str, Any] = {
            "order_id": self.ids["first"],
            "read_options": queries.ReadOptions(consistency_token=self.token),
        }
        answer = await once_caught_up(self.system.queries.GetOrder, queries.GetOrderRequest(**asked))
        assert answer.order == changed.order
        assert dict(answer.order.labels) == {"run": self.run, "tier": "gold", "erp": f"SO/{self.run}-1"}
        history = await once_caught_up(self.system.queries.GetOrderHistory, queries.GetOrderHistoryRequest(**asked))
        assert [(change.field, change.old_value, change.new_value) for change in history.entries[1].changes] == [
            ("labels[channel]", '"web"', ""),
            ("labels[tier]", "", '"gold"'),
            ("note", '"ring twice"', '"ring once"'),
        ]

    async def check_journal(self) -> None:
        """The payloads of all events have neither keys nor values nor notes."""
        sql = "SELECT payload::text, headers::text, personal::text FROM outbox WHERE aggregate_id = ANY(%s::uuid[])"
        async with await psycopg.AsyncConnection.connect(self.system.postgres_url) as connection:
            stored = await (await connection.execute(sql, (list(self.ids.values()),))).fetchall()
        assert len(stored) == 5
        for payload, headers, personal in stored:
            told = payload + headers
            assert not any(text in told for text in (self.run, "ring", "gold", '"labels"', '"note"', "old shop"))
            assert self.run in personal


async def test_labels_and_note_on_their_way(system: System) -> None:
    orders = Orders(system)
    changed = await orders.write()
    assert (changed.version, len(changed.events), changed.order.note) == (2, 1, "ring once")
    same = await system.commands.LabelOrder(labelling(orders.ids["first"], set_labels={"tier": "gold"}))
    assert (same.version, len(same.events), same.order) == (2, 0, changed.order)
    await orders.check_first(changed)
    for selector, expected in {
        "": {"first", "second", "third", "imported"},
        ",channel=web": {"second"},
        ",channel!=web": {"first", "third", "imported"},
        ",channel in (web,app)": {"second", "imported"},
        ",!channel,tier notin (silver)": {"first", "third"},
    }.items():
        assert await orders.found(selector) == expected, selector
    asked = queries.OrderFilter(label_selector=f"run={orders.run}")
    page = await searched(system, orders.token, filter=asked, facet_label_key="channel", facets=[4], page_size=1)
    assert [(facet.dimension, facet.label_key) for facet in page.facets] == [(4, ""), (0, "channel")]
    assert [(count.key, count.orders) for count in page.facets[1].counts] == [("app", 1), ("web", 1)]
    page = await searched(system, orders.token, filter=queries.OrderFilter(text=f"so {orders.run} 1"))
    assert [order.order_id for order in page.orders] == [orders.ids["first"]]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await searched(system, orders.token, filter=queries.OrderFilter(label_selector="a=b=c"))
    assert "character 4" in from_rpc_error(refused.value).message
    await orders.check_journal()


async def test_labels_by_the_command_line(system: System) -> None:
    run = uuid.uuid4().hex[:12]
    placed = await answered(
        system, "orders", "place", "--line", "CHAI:Chai:18.00", "--label", f"erp/id={run}", "--label", "channel=a, b",
        "--note", "ring [twice]",
    )  # fmt: skip
    assert placed["order"]["labels"] == {"channel": "a, b", "erp/id": run}
    order_id = placed["order"]["order_id"]
    changed = await answered(system, "orders", "label", order_id, "--label", "tier=x=y", "--remove", "channel")
    assert (changed["order"]["labels"], changed["order"]["note"]) == ({"erp/id": run, "tier": "x=y"}, "ring [twice]")
    token = changed["consistency_token"]
    code, out, err = await tandem(
        system, "orders", "search", "--selector", f"erp/id={run}", "--facet-label", "tier", "--token", token
    )
    assert code == 0, err
    assert order_id in out
    assert "x=y" in out
    code, out, _ = await tandem(system, "orders", "get", order_id, "--token", token)
    assert code == 0
    for text in (f"erp/id={run}, tier=x=y", "ring [twice]"):
        assert text in out
    code, out, _ = await tandem(system, "orders", "history", order_id, "--token", token)
    for text in ("labelled", "label channel: a, b → –", "label tier: x=y"):
        assert text in out
    bare = await answered(system, "orders", "label", order_id, "--note", "")
    assert bare["order"]["note"] == ""
    code, _, err = await tandem(system, "orders", "label", order_id, "--label", "tier")
    assert code == 2
    assert "KEY=VALUE" in err
