"""Answers questions about money by scanning all journal entries. Other stores must give the same answers."""

from __future__ import annotations

from collections.abc import Iterable

from query_service.application.ports.payment_questions import (
    PAYMENT_CALENDAR,
    PAYMENT_FIELDS,
    FoundPayments,
    PaymentCriteria,
    PaymentDimension,
    PaymentFigures,
    PaymentSummaries,
    found_payments,
)
from query_service.projection.money_moved import PAYMENT
from query_service.projection.order_document import EventDocument, MoneyDocument
from query_service.projection.sales import calendar, calendar_of_day


def payments(entries: Iterable[EventDocument], asked: PaymentSummaries) -> FoundPayments:
    """See PaymentQuestions.payments."""
    moves = (move for entry in entries for move in entry["money"] if _matches(move, asked.criteria))
    return found_payments((_figures(move, asked) for move in moves), asked.size)


def _figures(move: MoneyDocument, asked: PaymentSummaries) -> PaymentFigures:
    keys = tuple(_key(move, dimension, asked) for dimension in asked.dimensions)
    if move["kind"] == PAYMENT:
        return PaymentFigures(keys, move["currency_code"], payments=1, paid=move["amount"])
    return PaymentFigures(keys, move["currency_code"], refunds=1, refunded=move["amount"])


def _key(move: MoneyDocument, dimension: PaymentDimension, asked: PaymentSummaries) -> str:
    if asked.zone is not None and dimension in PAYMENT_CALENDAR:
        time = move["time"]
        local = calendar(None) if time is None else calendar_of_day(asked.zone.day(time))
        return local[PAYMENT_CALENDAR[dimension]]  # type: ignore[literal-required,no-any-return]
    return move[PAYMENT_FIELDS[dimension]]  # type: ignore[literal-required,no-any-return]


def _matches(move: MoneyDocument, criteria: PaymentCriteria) -> bool:
    time, least, limit = move["time"], criteria.moved_from, criteria.moved_until
    within = least is None and limit is None
    if time is not None:
        within = (least is None or time >= least) and (limit is None or time < limit)
    return (
        within
        and criteria.currency_code in ("", move["currency_code"])
        and (not criteria.methods or move["method"] in criteria.methods)
        and (not criteria.sources or move["source"] in criteria.sources)
    )
