"""`tandem orders …`, `tandem import …`, `tandem sample`: the whole life of an order, typed by hand."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from tests.fixtures.northwind import write_company
from tests.fixtures.system import System

TANDEM = Path(sys.executable).parent / "tandem"


async def tandem(system: System, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, output and error of one command against the running system."""
    addresses = {"TANDEM_COMMAND_ADDRESS": system.command_address, "TANDEM_QUERY_ADDRESS": system.query_address}
    process = await asyncio.create_subprocess_exec(
        TANDEM,
        *arguments,
        env={**os.environ, **addresses},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def answered(system: System, *arguments: str | Path) -> Any:
    """The JSON answer of a command that must succeed."""
    while True:
        code, out, err = await tandem(system, *arguments, "--json")
        answer = json.loads(out) if out else {}
        if code == 0 or answer.get("reason") != "READ_MODEL_BEHIND":  # a loaded one is asked again
            break
    assert code == 0, out + err
    return answer


async def test_the_life_of_an_order(system: System) -> None:
    placed = await answered(system, "orders", "place", "--line", "CHAI:Chai:18.00:10", "--line", "TOFU:Tofu:5:2")
    order_id = placed["order"]["order_id"]
    held = await answered(system, "orders", "hold", order_id, "--reason", "address to be checked")
    assert held["order"]["on_hold"]
    code, _, err = await tandem(system, "orders", "ship", order_id)
    assert code == 1
    assert "RULE_VIOLATED" in err
    await answered(system, "orders", "release", order_id)
    cancelled = await answered(system, "orders", "cancel", order_id, "--item", "2:1")
    assert cancelled["order"]["total"]["units"] == 185
    paid = await answered(system, "orders", "pay", order_id, "185.00", "--method", "transfer")
    assert paid["order"]["state"] == "ORDER_STATE_PAID"
    part = await answered(
        system, "orders", "ship", order_id, "--item", "1:4", "--carrier", "Post", "--shipment-id", "S1"
    )
    assert part["order"]["fulfillment_state"] == "FULFILLMENT_STATE_PARTIALLY_SHIPPED"
    await answered(system, "orders", "ship", order_id, "--shipment-id", "S2")
    await answered(system, "orders", "deliver", order_id, "S1")
    done = await answered(system, "orders", "deliver", order_id, "S2")
    assert done["order"]["state"] == "ORDER_STATE_DELIVERED"

    seen = await answered(system, "orders", "get", order_id, "--token", done["consistency_token"])
    assert seen["order"] == done["order"]
    history = await answered(system, "orders", "history", order_id, "--token", done["consistency_token"])
    assert [entry["event"]["event_type"] for entry in history["entries"]] == [
        "ORDER_CREATED", "ORDER_HELD", "ORDER_RELEASED", "ORDER_CANCELLED", "ORDER_PAID", "ORDER_SHIPPED",
        "ORDER_SHIPPED", "ORDER_DELIVERED", "ORDER_DELIVERED",
    ]  # fmt: skip
    code, out, _ = await tandem(system, "orders", "history", order_id)
    assert code == 0
    assert "address to be checked" in out
    code, _, err = await tandem(system, "orders", "pay", order_id, "1.00", "--expected-version", "1")
    assert code == 1
    assert "VERSION_MISMATCH" in err


async def test_a_company_is_imported_once(system: System, tmp_path: Path) -> None:
    write_company(tmp_path / "company", orders=40)
    first = await answered(system, "import", "northwind", tmp_path / "company")
    assert (first["orders"], first["imported"], first["replayed"], first["refused"]) == (40, 40, 0, {})
    second = await answered(system, "import", "northwind", tmp_path / "company")
    assert (second["imported"], second["replayed"]) == (0, 40)
    found = await answered(system, "orders", "search", "konig", "--source", "northwind")
    assert found["total_size"] > 0
    assert all("Königlich" in order["customer"]["display_name"] for order in found["orders"])
    summary = await answered(system, "orders", "summarize", "--source", "northwind", "--by", "country")
    assert {group["keys"][0] for group in summary["groups"]} <= {"DE", "US", "BR", "FR", "GB"}
    assert sum(group["orders"] for group in summary["groups"]) == 40
    for arguments in (("summarize", "--source", "northwind", "--by", "month"), ("search", "--source", "northwind")):
        code, out, err = await tandem(system, "orders", *arguments)
        assert code == 0, err
        assert "USD" in out


async def test_a_directory_that_is_no_company_is_named(system: System, tmp_path: Path) -> None:
    code, _, err = await tandem(system, "import", "northwind", tmp_path)
    assert code == 2
    assert "customers.csv" in err


async def test_a_sample_shop_is_the_same_for_the_same_seed(system: System) -> None:
    seed = str(uuid.uuid4().int % 1_000_000)
    first = await answered(system, "sample", "--orders", "20", "--seed", seed)
    assert (first["orders"], first["placed"], first["replayed"]) == (20, 20, 0)
    second = await answered(system, "sample", "--orders", "30", "--seed", seed)
    assert second["placed"] + second["replayed"] == 30
    code, out, _ = await tandem(system, "sample", "--orders", "30", "--seed", seed)
    assert code == 0
    assert out.startswith("30 orders: 0 placed, 30 were there already")
