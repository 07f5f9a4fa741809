"""`tandem orders …`, `tandem import …`, `tandem sample`: the whole life of an order, typed by hand."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import sys
import uuid
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from devstack.importers.sample_orders import SampleShop
from tests.fixtures.system import System
from tests.support.northwind import write_company

TANDEM = Path(sys.executable).parent / "tandem"


def environment(system: System, patience: str = "60") -> dict[str, str]:
    """Where the system is; a loaded machine may take long to give a sign of life."""
    return {
        **os.environ,
        "TANDEM_COMMAND_ADDRESS": system.command_address,
        "TANDEM_QUERY_ADDRESS": system.query_address,
        "TANDEM_EXPORT_ADDRESS": system.export_address,
        "TANDEM_POSTGRES_URL": system.postgres_url,
        "TANDEM_PATIENCE_SECONDS": patience,
        "COLUMNS": "80",
    }


async def tandem(system: System, *arguments: str | Path, patience: str = "60") -> tuple[int, str, str]:
    """Exit code, output and error of one command against the running system."""
    process = await asyncio.create_subprocess_exec(
        TANDEM,
        *arguments,
        env=environment(system, patience),
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
    method = f"transfer-{order_id[:8]}"
    paid = await answered(system, "orders", "pay", order_id, "185.00", "--method", method)
    assert paid["order"]["state"] == "ORDER_STATE_PAID"
    money = "orders", "payments", "--by", "method", "--method", method, "--token", paid["consistency_token"]
    summary = await answered(system, *money)
    assert [(group["keys"], group["payments"], group["paid"]["units"]) for group in summary["groups"]] == [
        ([method], 1, 185)
    ]
    code, out, err = await tandem(system, *money)
    assert code == 0, err
    assert method in out
    assert "185.00 EUR" in out
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


async def test_what_is_ordered_can_be_changed_sent_back_and_looked_up(system: System) -> None:
    """Brackets, escapes and colons in all that people can name; orders by number; as they were; several at once."""
    number = f"N[/]{uuid.uuid4().hex[:8]}"
    customer = f"MK[red]{uuid.uuid4().hex[:8]}"
    code, out, err = await tandem(
        system, "orders", "place", "--number", number, "--customer", customer, "--name", "Bob [/] Smith",
        "--line", 'A:"USB: cable [/1m]":1:2', "--street", "[bold]Lane 1[/bold]", "--city", "Köln", "--country", "de",
        "--email", "bob@example.org", "--currency", "JPY",
    )  # fmt: skip
    assert code == 0, err
    for text in (
        number,
        customer,
        "Bob [/] Smith, bob@example.org",
        "USB: cable [/1m]",
        "[bold]Lane 1[/bold], Köln, DE",
        "2 JPY",
    ):
        assert text in out, out
    token = out.rpartition("token ")[2].strip()
    found = await answered(system, "orders", "get", number, "--token", token)
    order_id = found["order"]["order_id"]
    revised = await answered(
        system, "orders", "revise", number, "--line", "sku=A,name=Cable,price=300,quantity=2", "--currency", "JPY",
        "--expected-total", "600", "--reason", "waits for [stock]",
    )  # fmt: skip
    assert revised["order"]["total"] == {"currency_code": "JPY", "units": 600, "nanos": 0}
    await answered(system, "orders", "address", order_id, "--country", "FR", "--city", "Lyon")
    paid = await answered(system, "orders", "pay", order_id, "600", "--currency", "JPY", "--payment-id", "p]1")
    assert paid["order"]["paid_total"]["units"] == 600
    await answered(system, "orders", "ship", order_id, "--shipment-id", "S1", "--tracking-number", f"T-{number}")
    await answered(system, "orders", "deliver", order_id, "S1")
    returned = await answered(system, "orders", "return", order_id, "--item", "1:1")
    assert returned["order"]["refund_due"]["units"] == 300
    code, out, err = await tandem(system, "orders", "refund", order_id, "300", "--currency", "JPY")
    assert code == 0, err
    for text in (
        "partially refunded",
        "partially returned",
        "refunded",
        "300 JPY",
        "2 shipped",
        "1 returned",
        "S1",
        "p]1",
    ):
        assert text in out, out
    token = out.rpartition("token ")[2].strip()

    then = await answered(
        system, "orders", "get", order_id, "--read-time", paid["order"]["update_time"], "--token", token
    )
    assert (then["order"]["version"], then["order"]["shipments"]) == (4, [])
    assert (await answered(system, "orders", "get", number, "--version", "2"))["order"]["total"]["units"] == 600
    several = await answered(system, "orders", "get", order_id, number)
    assert [order["order_id"] for order in several["orders"]] == [order_id, order_id]
    code, out, _ = await tandem(system, "orders", "get", order_id, str(uuid.uuid4()))
    assert code == 1
    assert number in out
    assert "no order " in out
    code, out, _ = await tandem(system, "orders", "history", number, "--token", token)
    assert code == 0
    for text in ("waits for [stock]", "total: 2 JPY → 600 JPY", "payment p]1: 600 JPY, card", "state: placed → paid"):
        assert text in out, out
    named = ("--number", number, "--order-id", order_id, "--tracking-number", f"T-{number}")
    assert (await answered(system, "orders", "search", *named))["total_size"] == 1
    assert (await answered(system, "orders", "search", *named, "--payment-reference", "none"))["total_size"] == 0
    code, out, _ = await tandem(system, "orders", "customer", customer)
    assert code == 0
    assert order_id in out
    code, _, err = await tandem(system, "orders", "get", "N-that-nobody-has")
    assert code == 1
    assert "N-that-nobody-has" in err


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
    shifted = await answered(
        system, "orders", "summarize", "--source", "northwind", "--by", "day", "--time-zone", "America/New_York"
    )  # where midnight UTC, at which all orders were placed, is the evening before
    rows = csv.DictReader((tmp_path / "company" / "orders.csv").read_text(encoding="utf-8").splitlines())
    placed = Counter(date.fromisoformat(row["orderDate"][:10]) - timedelta(days=1) for row in rows)
    assert {date.fromisoformat(group["keys"][0]): group["orders"] for group in shifted["groups"]} == placed
    for arguments in (("summarize", "--source", "northwind", "--by", "month"), ("search", "--source", "northwind")):
        code, out, err = await tandem(system, "orders", *arguments)
        assert code == 0, err
        assert "USD" in out
    code, out, err = await tandem(system, "orders", "summarize", "--source", "northwind")
    assert code == 0, err
    assert {"placed", "shipped"} <= set(out.split()), out


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


async def test_an_interrupted_sample_says_how_far_it_came(system: System) -> None:
    """SIGINT after the first 20 orders."""
    seed = str(uuid.uuid4().int % 1_000_000_000)
    process = await asyncio.create_subprocess_exec(
        TANDEM, "sample", "--orders", "100000", "--seed", seed, "--json",
        env=environment(system), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with await psycopg.AsyncConnection.connect(system.postgres_url, autocommit=True) as connection:
        count = "SELECT count(*) FROM orders WHERE order_id = ANY(%s)"
        first = [request.order_id for request in islice(SampleShop(100_000, int(seed)).requests(), 20)]
        async with asyncio.timeout(300):
            # More than there are callers: some have had their answers.
            while (await (await connection.execute(count, [first])).fetchone()) != (20,):
                await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = await process.communicate()
    assert process.returncode == 130
    document = json.loads(out)
    assert document["interrupted"]
    assert 0 < document["placed"] < 100_000
    assert document["replayed"] == 0


async def test_a_tail_ends_with_its_reader(system: System) -> None:
    """`outbox tail | head -1` while nothing happens."""
    await answered(system, "orders", "place", "--line", "CHAI:Chai:18.00")
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        TANDEM, "outbox", "tail", "--json", env=environment(system), stdout=writer, stderr=asyncio.subprocess.PIPE
    )
    os.close(writer)
    line = await asyncio.to_thread(os.read, reader, 100)
    assert line.startswith(b'{"time": "2')
    os.close(reader)
    _, err = await asyncio.wait_for(process.communicate(), 300)
    assert (process.returncode, err) == (0, b"")


async def test_orders_events_and_digests_are_exported(system: System) -> None:
    placed = await answered(system, "orders", "place", "--customer", "EXPORTED", "--line", "CHAI:Chai:18.00:10")
    order_id = placed["order"]["order_id"]
    await answered(system, "orders", "hold", order_id)
    code, out, err = await tandem(
        system, "export", "orders", "--customer", "EXPORTED", "--view", "journal", "--page-size", "1", "--json"
    )
    assert code == 0, err
    (exported,) = [json.loads(line) for line in out.splitlines()]
    assert (exported["order_id"], exported["version"], len(exported["events"])) == (order_id, 2, 2)
    assert json.loads(exported["events"][0]["payload"])["orderId"] == order_id
    code, out, err = await tandem(system, "export", "events", "--order-id", order_id, "--type", "ORDER_HELD", "--json")
    assert code == 0, err
    (event,) = [json.loads(line) for line in out.splitlines()]
    assert event == exported["events"][1]
    code, out, err = await tandem(system, "export", "orders", "--order-id", order_id)
    assert (code, out.split()[:3], err) == (0, [order_id, "version", "2"], "")
    await check_time_ranges(system, exported)
    digests = (await answered(system, "export", "digest"))["partitions"]
    assert len(digests) == 64
    assert sum(one["orders"] for one in digests) >= 1
    code, _, err = await tandem(system, "export", "orders", "--after", "17")
    assert (code, "after_order_id" in err) == (2, True)


async def check_time_ranges(system: System, exported: dict[str, Any]) -> None:
    """A range of times of recording has what was recorded in it, its begin included and its end excluded."""
    order_id, changed = exported["order_id"], exported["record_time"]
    later = (await answered(system, "orders", "place", "--customer", "EXPORTED", "--line", "CHAI:Chai:18.00"))["order"]
    after = (datetime.fromisoformat(changed) + timedelta(microseconds=1)).isoformat()
    for option, times, expected in (
        ("orders", ("--recorded-from", changed, "--recorded-until", after), [order_id]),
        ("orders", ("--recorded-from", after), [later["order_id"]]),
        ("events", ("--recorded-until", changed), [order_id]),
    ):
        chosen = ("--order-id", order_id, "--order-id", later["order_id"], *times, "--json")
        code, out, err = await tandem(system, "export", option, *chosen)
        assert (code, [json.loads(line)["order_id"] for line in out.splitlines()]) == (0, expected), err


async def test_a_watch_prints_changes_until_it_is_interrupted(system: System) -> None:
    customer = f"C-{uuid.uuid4()}"
    token = ""
    while not token:  # a list has one as soon as it is known how fresh lists are
        token = (await answered(system, "orders", "search", "--customer", customer))["resume_token"]
    place = ("orders", "place", "--line", "CHAI:Chai:18.00", "--customer", customer)
    await answered(system, *place)  # the selector leaves it out
    placed = await answered(system, *place, "--label", "channel=web")
    process = await asyncio.create_subprocess_exec(
        TANDEM, "orders", "watch", "--customer", customer, "--selector", "channel=web", "--resume", token,
        env=environment(system), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(300):
        line = (await process.stdout.readline()).decode()
    assert placed["order"]["order_id"] in line
    assert "CREATED" in line
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 0
    assert err.decode().startswith("continue with --resume w1.")
    code, out, _ = await tandem(system, "orders", "watch", "--resume", "w1.forged", "--json")
    assert (code, json.loads(out)["reason"]) == (2, "RESUME_TOKEN_MALFORMED")
