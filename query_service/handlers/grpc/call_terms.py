"""What holds for every call of the query service's methods."""

from __future__ import annotations

from typing import Protocol

from query_service.handlers.grpc.request_rules import validate
from query_service.handlers.grpc.status import REFUSALS
from service_runtime.edge.service_methods import OnCall, Terms

#: Kept back from the caller's deadline, so that a refusal still arrives in time. Seconds.
RESERVE_SECONDS = 0.05


class StoreVoice(Protocol):
    """What is to be said when the read store does not answer."""

    def late(self) -> Exception:
        """Why an answer did not come in time."""

    def refused(self, error: Exception) -> None:
        """Takes note of a call that was refused, perhaps for want of the store."""


def call_terms(on_call: OnCall, deadline_cap: float, store: StoreVoice) -> Terms:
    """`deadline_cap`: seconds that a call may take."""
    return Terms(
        validate, REFUSALS, on_call, deadline_cap, reserve=RESERVE_SECONDS, late=store.late, on_refusal=store.refused
    )
