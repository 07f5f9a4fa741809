"""What holds for every call of the command service's methods."""

from __future__ import annotations

from command_service.application.errors import TimedOut
from command_service.handlers.request_rules import validate
from command_service.handlers.status import REFUSALS
from service_runtime.edge.service_methods import OnCall, Terms


def call_terms(on_call: OnCall, deadline_cap: float) -> Terms:
    """`deadline_cap`: seconds that a call may take which is no stream."""
    return Terms(validate, REFUSALS, on_call, deadline_cap, late=TimedOut)
