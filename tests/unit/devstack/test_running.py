"""Wrong usage: what is said, where, and with which exit code; help that explains itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.cli.app import command_line
from devstack.cli.orders import choices
from devstack.cli.running import run
from devstack.cli.stack.status import document as document_of
from devstack.cli.stack.status import exit_code
from devstack.cli.stack.up import _Up
from devstack.stack.system_status import ProcessStatus, SystemStatus

ID = "b11dd591-84f8-4c1e-9d3a-0f6f5a1c2e77"
#: Command line → what the sentence must say.
WRONG = {
    ("no-such-command",): "no-such-command",
    ("orders", "serch"): "serch",
    ("orders", "place"): "--line",
    ("orders", "place", "--colour", "red"): "--colour",
    ("orders", "place", "--line", "CHAI"): "SKU:NAME:PRICE",
    ("orders", "place", "--line", "A:Tea:1:2:7,7%"): "DISCOUNT%",
    ("orders", "place", "--line", "A:Tea:1", "--freight", "١٢"): "--freight",
    ("orders", "pay", ID): "AMOUNT",
    ("orders", "pay", ID, "much"): "AMOUNT",
    ("orders", "pay", ID, "1_000"): "AMOUNT",
    ("orders", "pay", ID, "-5"): "below zero",
    ("orders", "pay", ID, "-5.50"): "below zero",
    ("orders", "pay", ID, "-.5"): "below zero",
    ("orders", "refund", ID, "-5"): "below zero",
    ("orders", "get", ID, "--version", "-1"): "--version",
    ("orders", "get", ID, "--read-time", "yesterday"): "--read-time",
    ("orders", "get", ID, "--read-time", "2026-11-27", "--version", "1"): "one of them",
    ("orders", "get", ID, ID, "--version", "1"): "one order",
    ("orders", "ship", ID, "--item", "1"): "LINE:QUANTITY",
    ("orders", "return", ID): "--item",
    ("orders", "search", "konig", "--text", "konig"): "--text",
    ("orders", "search", "--state", "lost"): "placed, paid",
    ("orders", "search", "--sort", "best"): "total_desc",
    ("orders", "search", "--page-size", "many"): "--page-size",
    ("orders", "history", ID, "too", "much"): "too much",
    ("orders", "summarize", "--by", "mood"): "customer",
    ("orders", "payments", "--by", "customer"): "method",
    ("orders", "payments", "--from", "yesterday"): "--from",
    ("orders", "customer"): "CUSTOMER",
    ("orders", "watch", "--state", "lost"): "placed, paid",
    ("export", "orders", "--recorded-from", "yesterday"): "--recorded-from",
    ("export", "orders", "--recorded-until", "2026-13-01T00:00:00Z"): "--recorded-until",
    ("export", "orders", "--recorded-until", "0001-01-01T00:00:00+05:00"): "--recorded-until",
    ("export", "events", "--recorded-until", "noon"): "--recorded-until",
    ("sample", "--orders", "0"): "--orders",
    ("import", "northwind"): "DIRECTORY",
    ("outbox", "tail", "--last", "-1"): "--last",
    ("orders", "search", "tea\udcff"): r"tea\xff",
    ("orders", "place", "--line", "A:T\udce4\udcfcr:1"): r"T\xe4\xfcr",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_one_sentence_and_two(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert WRONG[arguments] in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_a_document_too(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run((*arguments, "--json")) == 2
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["exit_code"] == 2
    assert WRONG[arguments] in document["error"]
    assert captured.err == ""


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert re.fullmatch(r"tandem \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands and groups with the words that call them."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def test_every_help_is_whole_at_eighty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for path, command in commands(command_line()):
        for asked in ("-h", "--help"):
            assert run((*path, asked)) == 0, path
            out = capsys.readouterr().out
        assert "…" not in out.replace("card, transfer, …", "").replace("RELAY_…", ""), path
        assert "..." not in out.replace("COMMAND [ARGS]...", "").replace("}...", "").replace("]...", ""), path
        assert max(map(len, out.splitlines())) <= 80, path
        for parameter in command.params:
            metavar = getattr(parameter, "metavar", None)
            flag = getattr(parameter, "is_flag", False) or parameter.name == "help"
            assert flag or re.fullmatch(r"[A-Z:]+", metavar or ""), (path, parameter.name)
            assert getattr(parameter, "help", ""), (path, parameter.name)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("orders", "search"), (*choices.STATES, *choices.PAYMENT_STATES, *choices.FULFILLMENT_STATES, *choices.SORTS)),
        (("orders", "summarize"), (*choices.DIMENSIONS, *choices.STATES)),
        (("orders", "place"), ("SKU:NAME:PRICE[:QUANTITY[:DISCOUNT%[:TAX%]]]", "sku=CHAI,name=Chai,price=18.00")),
        (("orders", "revise"), ("SKU:NAME:PRICE[:QUANTITY[:DISCOUNT%[:TAX%]]]",)),
    ],
)
def test_values_stand_in_the_help(
    path: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run((*path, "-h"))
    out = capsys.readouterr().out
    assert [word for word in words if word not in out] == []
    assert "default: 0]" not in out


def test_orders_are_listed_as_an_order_lives(capsys: pytest.CaptureFixture[str]) -> None:
    run(["orders", "-h"])
    listed = re.findall(r"^  ([a-z]+)  ", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE)
    assert listed[:3] == ["place", "get", "search"]
    assert {"revise", "address", "return", "refund", "customer", "watch"} <= set(listed)


def test_what_up_says_has_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    text = "relay ended with status 137; starting it again"
    _Up(False, False)._say("restart", f"{text}\nthe end of its log", service="relay")
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  {text}", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  the end of its log", second)
    _Up(True, False)._say("restart", text, service="relay")
    document = json.loads(capsys.readouterr().out)
    assert (document["event"], document["text"], document["service"]) == ("restart", text, "relay")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["time"])


def test_a_state_has_one_name_and_a_silent_part_is_three() -> None:
    """`status` says `up` once, and a script learns of a part that does not answer however well the others are."""
    up, degraded, down = (ProcessStatus("x", "a:1", state) for state in ("up", "degraded", "down"))
    for processes, code in (((up, up), 0), ((up, degraded), 1), ((up, degraded, down), 3), ((down,), 3)):
        seen = SystemStatus(processes)
        assert exit_code(seen) == code
        assert all("facts" not in process for process in document_of(seen)["processes"])
    assert "ready" not in str(document_of(SystemStatus((up,))))
