"""Defines what applies to every call: request rules, refusals, time limit, and the error of a call out of time."""

from __future__ import annotations

from typing import Protocol

from query_service.handlers.grpc.request_rules import validate
from query_service.handlers.grpc.status import REFUSALS
from service_runtime.edge.service_methods import OnCall, Terms

#: How many seconds before the caller's deadline a call ends, so that a refusal arrives in time.
RESERVE_SECONDS = 0.05


class StoreReport(Protocol):
    """Reports whether the read store is the reason when a call fails."""

    def late(self) -> Exception:
        """Returns the error for a call that ran out of time."""

    def refused(self, error: Exception) -> None:
        """Records a refused call, for the log."""


def call_terms(on_call: OnCall, deadline_cap: float, store: StoreReport) -> Terms:
    """Returns the terms of the query service's calls. `deadline_cap`: the most seconds that a call may take."""
    return Terms(
        validate, REFUSALS, on_call, deadline_cap, reserve=RESERVE_SECONDS, late=store.late, on_refusal=store.refused
    )
