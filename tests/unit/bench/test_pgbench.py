"""Scripts of pgbench live the recorded life with ids of their own, and its log gives the time of warm sessions."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from bench.commands.pgbench import NEW, Life, microseconds_per_transaction
from bench.commands.statements import Recorded
from bench.harness.rounds import NotMeasured

ORDER, EVENT = UUID(int=1), UUID(int=2)
ADD, CHANGE = "INSERT INTO orders VALUES ($1, $2, $3, $4)", "UPDATE orders SET head = $2, note = $3 WHERE id = $1"


def test_ids_number_and_customer_differ_and_are_the_same_in_the_whole_life() -> None:
    at = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    place = [[(ADD, [ORDER, "ABCDE-12345-FGHIJ", "S000007", at])]]
    change = [[(CHANGE, [ORDER, EVENT, "x" * 65])]]
    life = Life.of(Recorded([place], [change], [change]), "S000007")
    added, changed = (life.scripts[name] for name in ("PlaceOrder", "ShipOrder"))
    order_id = "('00000001-0000-4000-8000-' || lpad(to_hex(:r::bigint), 12, '0'))::uuid"
    assert f"VALUES ({order_id}, ('B' || :r::bigint), ('S' || (:r::bigint % 997)), " in added
    assert f"WHERE id = {order_id};" in changed
    assert "SET head = ('00000003-" in changed
    [(name, text)] = life.texts.items()
    assert (f"note = :{name} " in changed, text) == (True, "x" * 65)
    assert added.count(r"\startpipeline") == 1
    assert "2026-01-31T12\\x3a00\\x3a00" in added, "pgbench takes a colon for a variable"


def log(client: int, ends: list[int]) -> list[str]:
    return [f"{client} {number} 500 0 {end // 1_000_000} {end % 1_000_000}" for number, end in enumerate(ends)]


def test_transactions_of_new_sessions_and_of_lonely_clients_do_not_count() -> None:
    # The second session is slow at first. While both are warm, two transactions end every 100 µs, until the first ends.
    first = [10 * one for one in range(1, NEW + 1)] + [1_000_000 + 100 * one for one in range(1, 11)]
    second = [1_000_000 * one // NEW for one in range(1, NEW + 1)] + [1_000_050 + 100 * one for one in range(1, 21)]
    assert microseconds_per_transaction(log(0, first) + log(1, second)) == pytest.approx(1_000 / 19)


def test_clients_that_ran_one_after_the_other_are_not_measured() -> None:
    with pytest.raises(NotMeasured, match="at the same time"):
        microseconds_per_transaction(log(0, list(range(1, 20))) + log(1, list(range(1_000, 1_020))))
