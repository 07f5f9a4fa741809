"""Generates the reference pages of business rules and of errors: reasons, codes and exceptions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import grpc
from tandem.orders.errors import ERROR_DOMAIN, EXCEPTIONS, WITHOUT_REASON, MessageTooLarge, OrderError, reason_text
from tandem.orders.v1 import error_reason_pb2

from command_service.domain.rules import ALL_RULES, Rule
from command_service.handlers import status as command_status
from command_service.storage.tables.rule_constraints import HELD_BY
from docs.generator.markdown_table import table
from query_service.handlers.grpc import status as query_status

#: Reasons that a service sends for failures that its table does not list.
_UNFORESEEN = {"INTERNAL"}
#: Reasons that the tables list and no service sends: test_unimplemented.py calls every method of the contract.
_NEVER_MET = {"NOT_IMPLEMENTED"}


_RULES = """# Business rules

Generated from the code; do not edit. A command that breaks a rule is refused with `FAILED_PRECONDITION`, reason
`RULE_VIOLATED`; the `ErrorInfo` has the rule's id in its metadata as `rule`. Ids are stable: callers may branch
on them. The message says what the command needs, what state the order is in, and what to do. The domain enforces every
rule. The database enforces rules that concern a single row a second time, by the constraints named here. The other
rules are about changes, which a constraint cannot see.

"""
_ERRORS = f"""# Errors

Generated from the code; do not edit. A refusal is a `google.rpc.Status` whose first detail is an `ErrorInfo` of the
domain `{ERROR_DOMAIN}`. The package `tandem-protos` converts it to the exception named here (`tandem.orders.errors`).

"""
_WITHOUT_REASON = """
A failure without a reason comes from gRPC itself, on either side, or from a proxy. The status code then decides the
exception, and its `reason` is empty. Codes not listed here become an `OrderError`.

"""


def rules() -> str:
    """Generates the page of business rules."""
    rows = ((f"`{rule.id}`", rule.sentence, _constraints(rule)) for rule in ALL_RULES)
    return _RULES + table(("rule", "what it says", "constraints"), rows)


def errors() -> str:
    """Generates the page of errors."""
    senders = _senders()
    rows = (
        (f"`{reason}`", meaning, *_cells(senders[reason]), f"`{EXCEPTIONS[reason].__name__}`")
        for reason, meaning in _meanings().items()
    )
    reasons = table(("reason", "code and meaning", "sent by", "retry after", "exception"), rows)
    return _ERRORS + reasons + _WITHOUT_REASON + table(("code", "what happened", "exception"), _plain_failures())


def _plain_failures() -> Iterable[tuple[str, str, str]]:
    kinds: list[tuple[grpc.StatusCode, type[OrderError]]] = [*WITHOUT_REASON.items()]
    kinds.append((grpc.StatusCode.RESOURCE_EXHAUSTED, MessageTooLarge))
    for code, kind in sorted(kinds, key=lambda each: each[0].name):
        yield code.name, inspect.cleandoc(kind.__doc__ or "").partition("\n")[0], f"`{kind.__name__}`"


def _constraints(rule: Rule) -> str:
    return ", ".join(f"`{name}`" for name in HELD_BY.get(rule, ())) or "–"


def _meanings() -> Mapping[str, str]:
    """Reads the comment of each reason in the contract: reason → comment, which begins with the status code."""
    source = Path(__file__).resolve().parents[2] / "protos" / error_reason_pb2.DESCRIPTOR.name
    found = re.findall(r"^\s*// (.+)\n\s*ERROR_REASON_(\w+) = [1-9]", source.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: comment for comment, name in found}


def _senders() -> Mapping[str, list[tuple[str, float | None]]]:
    """Maps each reason to the services that send it, each with the seconds to wait before a retry."""
    senders: dict[str, list[tuple[str, float | None]]] = {reason: [] for reason in EXCEPTIONS}
    for service, answers in (("commands", command_status.ANSWERS), ("queries", query_status.ANSWERS)):
        for answer in answers.values():
            entry = service, answer.retry.total_seconds() if answer.retry else None
            if entry not in senders[reason_text(answer.reason)]:
                senders[reason_text(answer.reason)].append(entry)
        for reason in _UNFORESEEN:
            senders[reason].append((service, None))
    return {reason: [] if reason in _NEVER_MET else entries for reason, entries in senders.items()}


def _cells(entries: Iterable[tuple[str, float | None]]) -> tuple[str, str]:
    listed = list(entries)
    pauses = sorted({seconds for _, seconds in listed if seconds is not None})
    services = sorted({service for service, _ in listed})
    return ", ".join(services) or "nobody", ", ".join(f"{seconds:g} s" for seconds in pauses) or "–"
