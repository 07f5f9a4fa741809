"""RedactCustomer on a real PostgreSQL: nothing personal is left in any table, and all else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from uuid import UUID, uuid4

import psycopg
import pytest
from tandem.orders.consistency_token import decode
from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.application import redact_customer
from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.errors import RequestIdReused
from command_service.application.execution import Execution
from command_service.application.ports import UnitOfWork
from command_service.domain import commands, rules
from command_service.domain.commands import ImportOrder, NewLine
from command_service.domain.errors import CustomerNotFound, RuleViolated
from command_service.domain.labels import Labels
from command_service.domain.money import Money
from command_service.storage import command_log, erasure
from command_service.storage.erasure import PROGRESS
from command_service.storage.unit_of_work import PostgresUnitOfWork
from tests.fixtures.write_model import execute
from tests.integration.command_service.test_order_changes import TIME
from tests.support.chance import new_seed
from tests.support.commands.command_application import Application, application, call
from tests.support.commands.journal import journal_faults
from tests.support.commands.personal_orders import ADDRESS, CANARY, SEARCHED, canaries, personal_order, placed

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def check_nothing_is_left(url: str) -> None:
    async with application(url) as orders:
        order_id, first = await placed(orders), call()
        await orders.change(first, commands.LabelOrder(order_id, Labels({"other": CANARY})))  # changes nothing
        imported = ImportOrder(personal_order(), TIME)
        await orders.import_(import_call := call(), imported)
        assert await canaries(url) == {"orders": 2, "outbox": 4, "command_log": 4}
        answer = await orders.redact(call(), "C1")
        assert (answer.redacted_orders, answer.remaining_orders) == (2, 0)
        assert dict(decode(answer.consistency_token).versions) == {str(order_id): 4, str(imported.order.order_id): 2}
        assert await canaries(url) == dict.fromkeys(SEARCHED, 0), "erased everywhere"
        erased = "SELECT count(*) FROM outbox WHERE salt IS NULL AND event_type <> 'ORDER_REDACTED'"
        assert await execute(url, erased) == [(4,)], "no salt stays"
        assert await journal_faults(url) == []
        # A retry gets the redacted order and changes nothing.
        again = await orders.change(first, commands.LabelOrder(order_id, Labels({"other": CANARY})))
        shown = contract.LabelOrderResponse.FromString(again.response)
        assert (again.replayed, shown.version, shown.order.redacted) == (True, 4, True)
        assert (shown.order.customer.customer_id, shown.order.shipping_address.region_code) == ("C1", "FR")
        kept = contract.ImportOrdersResponse.FromString((await orders.import_(import_call, imported)).response)
        assert kept.version == 1


async def test_nothing_personal_is_left_in_any_column(command_database: str) -> None:
    await check_nothing_is_left(command_database)


KEPT = "SELECT $1::uuid, $2::bigint"
MUTANTS = {
    "earlier events kept": ("ERASE_EVENTS", KEPT, "erased everywhere"),
    "responses kept": ("REPLACE_RESPONSES", f"{KEPT}, $3::bytea", "erased everywhere"),
    "responses without event kept": ("REPLACE_RESPONSES_WITHOUT_EVENT", "SELECT $1::uuid, $2::bytea", "erased everywh"),
}


@pytest.mark.mutant
@pytest.mark.parametrize(("name", "sql", "noticed"), MUTANTS.values(), ids=MUTANTS)
async def test_what_is_kept_is_noticed(
    command_database: str, monkeypatch: pytest.MonkeyPatch, name: str, sql: str, noticed: str
) -> None:
    monkeypatch.setattr(erasure, name, sql)
    with pytest.raises(AssertionError, match=noticed):
        await check_nothing_is_left(command_database)


@pytest.mark.mutant
async def test_a_kept_salt_is_refused_by_the_table(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "ERASE_EVENTS", erasure.ERASE_EVENTS.replace(", salt = NULL", ""))
    with pytest.raises(Exception, match="outbox_personal_check"):
        await check_nothing_is_left(command_database)


async def test_commands_without_personal_data_go_on(command_database: str) -> None:
    async with application(command_database) as orders:
        order_id, other = await placed(orders), await placed(orders, "C2")
        await orders.redact(call(), "C1")
        await orders.change(call(), commands.RecordPayment(order_id, "P1", Money("EUR", 50_00), "card"))
        await orders.change(call(), commands.ShipOrder(order_id, "S1"))
        for refused, rule in (
            (commands.LabelOrder(order_id, note="n"), rules.LABEL_UNREDACTED_ONLY),
            (commands.ChangeShippingAddress(order_id, ADDRESS), rules.ADDRESS_UNREDACTED_ONLY),
        ):
            with pytest.raises(RuleViolated) as refusal:
                await orders.change(call(), refused)
            assert refusal.value.rule is rule
        with pytest.raises(RuleViolated) as refusal:
            await orders.place(call(), personal_order())
        assert refusal.value.rule is rules.CUSTOMER_REDACTED
        with pytest.raises(RuleViolated):
            await orders.import_(call(), ImportOrder(personal_order(), TIME))
        with pytest.raises(CustomerNotFound):
            await orders.redact(call(), "nobody")
        assert (await orders.stored(order_id)).version == 6
        assert not (await orders.stored(other)).redacted
        assert await journal_faults(command_database) == []


async def test_a_request_is_carried_out_once(command_database: str) -> None:
    async with application(command_database) as orders:
        order_id, asked = await placed(orders), call()
        first = await orders.redact(asked, "C1")
        assert (await orders.redact_customer.redact(asked, "C1")).replayed
        assert await orders.redact(asked, "C1") == first
        with pytest.raises(RequestIdReused):
            await orders.redact(replace(asked, fingerprint=b"other"), "C1")
        later = await orders.redact(call(), "C1")
        assert (later.redacted_orders, later.remaining_orders) == (1, 0)
        assert (await orders.stored(order_id)).version == 4, "a redacted order is not redacted again"


class Dies(Exception):  # noqa: N818 - says what happens
    """Stands for the end of the process."""


async def killed_between_orders(orders: Application, asked: CommandCall, patched: pytest.MonkeyPatch) -> list[UUID]:
    """Places four orders, and begins to redact them with a call that dies after two of them; returns all four."""
    ids = [await placed(orders) for _ in range(4)]
    execute_one, done = Execution.execute, list[object]()

    async def dying(self: Execution, one: CommandCall, command: commands.Command) -> CommandResult:
        if len(done) == 2:
            raise Dies
        done.append(command)
        return await execute_one(self, one, command)

    with patched.context() as cut:
        cut.setattr(Execution, "execute", dying)
        with pytest.raises(Dies):
            await orders.redact(asked, "C1")
    assert [(await orders.stored(one)).redacted for one in sorted(ids)] == [True, True, False, False]
    return ids


async def test_a_call_that_died_between_orders_is_resumed(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with application(command_database) as orders:
        asked = call()
        ids = await killed_between_orders(orders, asked, monkeypatch)
        with pytest.raises(RuleViolated):
            await orders.place(call(), personal_order())
        monkeypatch.setattr(redact_customer, "ORDERS_PER_CALL", 3)
        first = await orders.redact(asked, "C1")
        assert (first.redacted_orders, first.remaining_orders) == (3, 1)
        named = dict(decode(first.consistency_token).versions)
        assert named == {str(one): 4 for one in sorted(ids)[:3]}, "the token names what both tries redacted, no more"
        answer = await orders.redact(call(), "C1")
        assert (answer.redacted_orders, answer.remaining_orders) == (4, 0)
        assert set(decode(answer.consistency_token).versions) == {str(max(ids))}, "and none of another call"
        assert [(await orders.stored(one)).version for one in ids] == [4] * 4
        assert await canaries(command_database) == dict.fromkeys(SEARCHED, 0)


@pytest.mark.mutant
async def test_a_token_that_forgets_what_the_dead_call_redacted_is_caught(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> Sequence[bytes]:
        return ()

    async with application(command_database) as orders:
        asked = call()
        ids = await killed_between_orders(orders, asked, monkeypatch)
        monkeypatch.setattr(PostgresUnitOfWork, "responses", nothing)
        answer = await orders.redact(asked, "C1")
        assert set(decode(answer.consistency_token).versions) == {str(one) for one in sorted(ids)[2:]}


async def test_calls_go_on_until_nothing_remains(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact_customer, "ORDERS_PER_CALL", 2)
    async with application(command_database) as orders:
        for _ in range(5):
            await orders.place(call(), personal_order())
        progress = [await orders.redact(call(), "C1") for _ in range(3)]
        assert [(one.redacted_orders, one.remaining_orders) for one in progress] == [(2, 3), (4, 1), (5, 0)]


async def test_twins_and_other_commands_at_the_same_time(command_database: str) -> None:
    async with application(command_database) as orders:
        ids, asked = [await placed(orders) for _ in range(5)], call()
        pays = [orders.change(call(), commands.RecordPayment(one, "P", Money("EUR", 1), "card")) for one in ids]
        labels = [orders.change(call(), commands.LabelOrder(one, note=CANARY)) for one in ids]
        answers: Sequence[object] = await asyncio.gather(
            *pays,
            *labels,
            *(orders.redact(asked, "C1") for _ in range(3)),
            orders.redact(call(), "C1"),
            return_exceptions=True,
        )
        assert not [one for one in answers[:5] if isinstance(one, BaseException)]
        assert {one.rule for one in answers[5:10] if isinstance(one, RuleViolated)} <= {rules.LABEL_UNREDACTED_ONLY}
        assert answers[10] == answers[11] == answers[12]
        assert await canaries(command_database) == dict.fromkeys(SEARCHED, 0)
        redactions = "SELECT count(*) FROM outbox WHERE event_type = 'ORDER_REDACTED'"
        assert await execute(command_database, redactions) == [(5,)]
        assert await journal_faults(command_database) == []


async def check_no_order_slips_through(url: str) -> None:
    """A new order waits with its commit while the customer is redacted."""
    async with application(url) as orders:
        redacting: list[asyncio.Task[contract.RedactCustomerResponse]] = []

        async def gate(_: UnitOfWork) -> None:
            redacting.append(asyncio.create_task(orders.redact(call(), "C1")))
            while not redacting[0].done() and await execute(url, WAITING) == [(0,)]:
                await asyncio.sleep(0.01)

        await orders.place_through(gate, call(), personal_order())
        await redacting[0]
        with pytest.raises(RuleViolated):
            await orders.place(call(), personal_order())
        assert await execute(url, "SELECT count(*) FROM orders WHERE NOT redacted") == [(0,)], "slipped through"


async def test_an_order_that_is_being_placed_does_not_slip_through(command_database: str) -> None:
    async with application(command_database) as orders:
        await orders.place(call(), personal_order())
    await check_no_order_slips_through(command_database)


@pytest.mark.mutant
async def test_a_claim_without_the_lock_is_noticed(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with application(command_database) as orders:
        await orders.place(call(), personal_order())
    monkeypatch.setattr(command_log, "CLAIM_FOR_NEW", command_log.CLAIM_FOR_NEW.replace(" FOR SHARE", ""))
    with pytest.raises(AssertionError, match="slipped through"):
        await check_no_order_slips_through(command_database)


async def test_the_customers_orders_are_found_by_an_index(command_database: str) -> None:
    async with application(command_database) as orders:
        await placed(orders)
    async with await psycopg.AsyncConnection.connect(command_database) as connection:
        await connection.execute("SET enable_seqscan = off")
        plan = await (
            await connection.execute(f"EXPLAIN {PROGRESS.replace('$1', chr(39) + 'C1' + chr(39)).replace('$2', '1')}")
        ).fetchall()
    used = {word for line in plan for word in str(line[0]).split() if word.endswith("_idx")}
    assert used == {"orders_customer_id_order_id_idx"}


@pytest.mark.long
async def test_a_thousand_redactions_leave_every_chain_valid(command_database: str) -> None:
    random = Random(new_seed())
    async with application(command_database) as orders:
        lines = (NewLine("CHAI", "Chai", Money("EUR", 1_00), 2),)
        for number in range(1_000):
            order_id = uuid4()
            await orders.place(call(), replace(personal_order(f"C{number % 7}"), order_id=order_id, lines=lines))
            for _ in range(random.randrange(4)):
                await orders.change(call(), commands.LabelOrder(order_id, note=f"{CANARY} {random.random()}"))
        for number in range(7):
            while (await orders.redact(call(), f"C{number}")).remaining_orders:
                pass
    assert await canaries(command_database) == dict.fromkeys(SEARCHED, 0)
    assert await execute(command_database, "SELECT count(*) FROM orders WHERE NOT redacted") == [(0,)]
    assert await journal_faults(command_database) == []
