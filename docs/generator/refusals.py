"""Writes the reference pages of refusals: the business rules, and the reasons with their codes."""

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

#: Reasons that a service sends without an entry in its table: they answer what no table foresees.
_UNFORESEEN = {"INTERNAL"}


_RULES = """# Business rules

Made from the code; do not edit. A command that breaks a rule is refused with `FAILED_PRECONDITION`, reason
`RULE_VIOLATED`; the `ErrorInfo` has the rule's id in its metadata as `rule`. Ids are stable: callers may branch
on them. The message says what the command needs, what the order is, and what to do. The domain enforces every rule.
The constraints named here enforce a second time what a row shows; rules without one are about changes.

"""
_ERRORS = f"""# Errors

Made from the code; do not edit. A refusal is a `google.rpc.Status` whose first detail is an `ErrorInfo` of the domain
`{ERROR_DOMAIN}`. The package `tandem-protos` turns it into the exception named here (`tandem.orders.errors`).

"""
_WITHOUT_REASON = """
A failure without a reason comes from gRPC itself, on the caller's side or the server's, or from a proxy. Its
exception follows from the status code, and its `reason` is empty. Other codes become an `OrderError`.

"""


def rules() -> str:
    """Returns the page of business rules."""
    rows = ((f"`{rule.id}`", rule.sentence, _constraints(rule)) for rule in ALL_RULES)
    return _RULES + table(("rule", "what it says", "constraints"), rows)


def errors() -> str:
    """Returns the page of reasons."""
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
    """Reason → its comment in the contract, which begins with the code."""
    source = Path(__file__).resolve().parents[2] / "protos" / error_reason_pb2.DESCRIPTOR.name
    found = re.findall(r"^\s*// (.+)\n\s*ERROR_REASON_(\w+) = [1-9]", source.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: comment for comment, name in found}


def _senders() -> Mapping[str, list[tuple[str, float | None]]]:
    """Maps a reason to the services that send it, each with the seconds after which to retry."""
    senders: dict[str, list[tuple[str, float | None]]] = {reason: [] for reason in EXCEPTIONS}
    for service, answers in (("commands", command_status.ANSWERS), ("queries", query_status.ANSWERS)):
        for answer in answers.values():
            entry = service, answer.retry.total_seconds() if answer.retry else None
            if entry not in senders[reason_text(answer.reason)]:
                senders[reason_text(answer.reason)].append(entry)
        for reason in _UNFORESEEN:
            senders[reason].append((service, None))
    return senders


def _cells(entries: Iterable[tuple[str, float | None]]) -> tuple[str, str]:
    listed = list(entries)
    pauses = sorted({seconds for _, seconds in listed if seconds is not None})
    services = sorted({service for service, _ in listed})
    return ", ".join(services) or "not yet", ", ".join(f"{seconds:g} s" for seconds in pauses) or "–"
