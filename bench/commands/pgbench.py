"""Sends the SQL of commands by pgbench: the least that Postgres needs for them, whatever driver a service has.

The statements of one order's life (placed, paid, shipped) are made into scripts with the same round trips. pgbench
prepares them and sends them in pipelines. The ids, the order number and the customer differ from transaction to
transaction, so many orders live the same life. Long texts, such as the event's, are sent as parameters each time; all
other values are literals.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from bench.commands.statements import Recorded, Trips
from bench.harness.program import run_program
from bench.harness.rounds import Figures, NotMeasured
from bench.harness.servers import programs, sql

RUN_SECONDS = 120.0
#: The transactions of a client that do not count, and the fewest that it runs.
NEW, LEAST_TRANSACTIONS = 5, 40
#: How many customers order. One customer would make all transactions wait for each other.
CUSTOMERS = 997
#: A text of more characters is sent as a parameter.
LONG = 64
#: Transaction k of a client has the order number `client * CLIENT + k`.
CLIENT = 10_000_000
_ORDER_NUMBER = re.compile("[0-9A-Z]{5}(-[0-9A-Z]{5}){2}")
_NUMBER = ":r::bigint"


@dataclass(frozen=True, slots=True)
class Life:
    """The scripts of an order's life by command, in the order of the commands; `texts` are their parameters by name."""

    scripts: Mapping[str, str]
    texts: Mapping[str, str]

    @classmethod
    def of(cls, recorded: Recorded, customer_id: str) -> Life:
        """Makes the scripts from the statements of the first recorded order, which this customer has placed."""
        commands = {
            "PlaceOrder": recorded.places[0],
            "RecordPayment": recorded.payments[0],
            "ShipOrder": recorded.shipments[0],
        }
        varied = _varied(list(commands.values()), customer_id)
        texts = dict[str, str]()
        for value in _values(list(commands.values())):
            if isinstance(value, str) and len(value) > LONG:
                texts.setdefault(value, f"t{len(texts)}")
        varied |= {value: f":{name}" for value, name in texts.items()}
        scripts = {name: _script(trips, varied) for name, trips in commands.items()}
        return cls(scripts, {name: value for value, name in texts.items()})


async def by_pgbench(url: str, life: Life, command: str, clients: int, transactions: int, directory: Path) -> Figures:
    """Runs one command of the life for about `transactions` orders. Returns the time per command in µs.

    Each client's first transactions do not count, because its session has prepared nothing yet. The earlier commands
    must have run in the database at `url`, with the same numbers, and no others. Raises NotMeasured unless every order
    has lived so far afterwards.
    """
    each = max(transactions // clients, LEAST_TRANSACTIONS)
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    script = directory / f"{command}.sql"
    script.write_text(life.scripts[command], encoding="utf-8")
    for log in directory.glob("log.*"):
        log.unlink()
    ran = await asyncio.to_thread(
        run_program,
        [
            programs() / "pgbench", "-n", "-M", "prepared", "-c", str(clients), "-t", str(each), "-D", "n=0",
            *(f"-D{name}={text}" for name, text in life.texts.items()),
            "-l", "--log-prefix", directory / "log", "-f", script, url,
        ],
        RUN_SECONDS,
    )  # fmt: skip
    if ran.status != 0:
        raise NotMeasured(f"pgbench: {ran.last_line}")
    version = list(life.scripts).index(command) + 1
    [(lived, events)] = await sql(
        url,
        "SELECT (SELECT count(*) FROM orders WHERE version = %(version)s), (SELECT count(*) FROM outbox)",
        {"version": version},
    )
    if (lived, events) != (clients * each, clients * each * version):
        raise NotMeasured(f"pgbench: {lived} orders and {events} events after {clients * each} {command}")
    lines = [line for log in directory.glob("log.*") for line in log.read_text(encoding="utf-8").splitlines()]
    return {"us_per_call": microseconds_per_transaction(lines)}


def microseconds_per_transaction(log: Sequence[str]) -> float:
    """Returns the time per transaction while all clients ran and none was new to its session.

    A line of pgbench's log has the client, its transaction's number, three more values, and the time of the end in
    seconds and µs. Raises NotMeasured if the clients did not run at the same time.
    """
    ends: dict[str, list[int]] = {}
    for line in log:
        client, _, _, _, seconds, microseconds, *_ = line.split()
        ends.setdefault(client, []).append(int(seconds) * 1_000_000 + int(microseconds))
    begun, ended = max(one[NEW - 1] for one in ends.values()), min(one[-1] for one in ends.values())
    counted = sum(begun < end <= ended for one in ends.values() for end in one)
    if not counted:
        raise NotMeasured("pgbench: the clients did not run at the same time")
    return (ended - begun) / counted


def _script(trips: Trips, varied: Mapping[Any, str]) -> str:
    lines = [r"\set n :n + 1", rf"\set r :client_id * {CLIENT} + :n"]
    for trip in trips:
        lines.append(r"\startpipeline")
        for query, params in trip:
            values = [_literal(value, varied) for value in params or ()]
            text = re.sub(r"\$(\d+)", lambda place, known=values: known[int(place[1]) - 1], query)  # type: ignore[misc]
            lines.append(f"{text};")
        lines.append(r"\endpipeline")
    return "\n".join(lines) + "\n"


def _varied(examples: Sequence[Trips], customer_id: str) -> dict[Any, str]:
    """Maps each value that differs between orders to an SQL expression that makes it from the order's number."""
    found: dict[Any, str] = {customer_id: f"('S' || ({_NUMBER} % {CUSTOMERS}))"}
    for value in _values(examples):
        for one in value if isinstance(value, tuple) else [value]:
            if isinstance(one, UUID) and one not in found:
                found[one] = f"('{len(found):08x}-0000-4000-8000-' || lpad(to_hex({_NUMBER}), 12, '0'))::uuid"
            elif isinstance(one, str) and _ORDER_NUMBER.fullmatch(one):
                found[one] = f"('B' || {_NUMBER})"
    return found


def _values(examples: Sequence[Trips]) -> Iterator[Any]:
    """Yields all values of the statements. Lists are yielded as tuples."""
    for trips in examples:
        for trip in trips:
            for _, params in trip:
                yield from (tuple(value) if isinstance(value, list) else value for value in params or ())


def _literal(value: Any, varied: Mapping[Any, str]) -> str:
    match value:
        case UUID() | str() if value in varied:
            return varied[value]
        case None:
            return "NULL"
        case bool() | int():
            return str(value)
        case bytes():
            return f"'\\x{value.hex()}'::bytea"
        case datetime():
            return f"{_text(value.isoformat())}::timestamptz"
        case str():
            return _text(value)
        case []:
            return "'{}'"
        case [*_]:
            return f"ARRAY[{', '.join(_literal(each, varied) for each in value)}]"
    raise TypeError(f"no literal for {value!r}")


def _text(value: str) -> str:
    """Returns a string literal without colons, which pgbench would read as variables."""
    for character, written in (("\\", "\\\\"), ("'", "\\'"), (":", "\\x3a"), ("\n", "\\n")):
        value = value.replace(character, written)
    return f"E'{value}'"
