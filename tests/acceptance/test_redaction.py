"""A redaction on its whole way: from the command line over journal and stream into every document of the read model."""

from __future__ import annotations

import json
import random
import uuid

import pytest
from elasticsearch import AsyncElasticsearch
from tandem.orders.consistency_token import merge
from tandem.orders.v1 import order_command_service_pb2 as commands

from query_service.storage.physical.kept_orders import document_of
from tests.acceptance.test_command_line import answered, tandem
from tests.fixtures.system import System
from tests.support.commands.orders import place_order_request


async def documents(system: System, order_ids: list[str]) -> list[str]:
    """All documents of the orders in all indices, as they are stored, and with what they keep encoded as text."""
    async with AsyncElasticsearch(system.elasticsearch_url, request_timeout=120) as elasticsearch:
        indices = f"{system.index_prefix}order*"
        await elasticsearch.indices.refresh(index=indices)
        found = await elasticsearch.search(index=indices, query={"terms": {"order_id": order_ids}}, size=1_000)
        return [json.dumps(hit["_source"]) + str(document_of(hit["_source"])) for hit in found["hits"]["hits"]]


async def place(system: System, customer_id: str, canary: str) -> tuple[str, str]:
    """Places an order and labels it. Returns its id and a token."""
    request = place_order_request(random.Random())
    request.customer.customer_id, request.customer.display_name = customer_id, canary
    request.shipping_address.recipients[:] = [canary]
    placed = await system.commands.PlaceOrder(request)
    labelling = commands.LabelOrderRequest(request_id=str(uuid.uuid4()), order_id=placed.order.order_id, note=canary)
    labelled = await system.commands.LabelOrder(labelling)
    return placed.order.order_id, labelled.consistency_token


async def test_a_customer_is_redacted_everywhere(system: System) -> None:
    canary, customer_id = f"Xanthippe{uuid.uuid4().hex}", uuid.uuid4().hex
    placed = [await place(system, customer_id, canary) for _ in range(2)]
    order_ids, token = [order_id for order_id, _ in placed], merge(*(token for _, token in placed))
    shown = await answered(system, "orders", "get", order_ids[0], "--token", token)
    assert shown["order"]["customer"]["display_name"] == canary
    await answered(system, "orders", "get", order_ids[1], "--token", token)
    before = await documents(system, order_ids)
    assert [canary in document for document in before] == [True] * 6, "the search finds it"

    done = await answered(system, "customers", "redact", customer_id, "--reason", "asked to")
    assert (int(done["redacted_orders"]), int(done.get("remaining_orders", 0))) == (2, 0)
    token = done["consistency_token"]
    for order_id in order_ids:
        shown = await answered(system, "orders", "get", order_id, "--token", token)
        assert (shown["order"]["redacted"], shown["order"]["customer"]["customer_id"]) == (True, customer_id)
    after = await documents(system, order_ids)
    assert len(after) == 8
    assert [document for document in after if canary in document] == []
    history = await answered(system, "orders", "history", order_ids[0], "--token", token)
    types = [entry["event"]["event_type"] for entry in history["entries"]]
    assert types == ["ORDER_CREATED", "ORDER_LABELLED", "ORDER_REDACTED"]
    assert canary not in json.dumps(history)

    again = await answered(system, "customers", "redact", customer_id)
    assert int(again["redacted_orders"]) == 2
    code, out, _ = await tandem(system, "customers", "redact", customer_id)
    assert code == 0
    assert "2 orders are redacted" in out


@pytest.mark.parametrize("as_json", [True, False])
async def test_an_unknown_customer_is_refused(system: System, as_json: bool) -> None:
    words = ["customers", "redact", uuid.uuid4().hex, *(["--json"] if as_json else [])]
    code, out, err = await tandem(system, *words)
    assert code == 1
    assert "CUSTOMER_NOT_FOUND" in out + err
