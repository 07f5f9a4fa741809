"""Defines what applies to every call of the command service: validation, refusals, metrics and time limit."""

from __future__ import annotations

from command_service.application.errors import TimedOut
from command_service.application.exporting.errors import ExportTooSlow
from command_service.handlers import export_rules, request_rules
from command_service.handlers.status import REFUSALS
from service_runtime.edge.service_methods import OnCall, Terms


def call_terms(on_call: OnCall, deadline_cap: float) -> Terms:
    """Returns the terms. `deadline_cap` is the most seconds that a call may take; it does not apply to streams."""
    return Terms(request_rules.validate, REFUSALS, on_call, deadline_cap, late=TimedOut)


def export_terms(on_call: OnCall, deadline_cap: float) -> Terms:
    """Returns the terms of exports, whose digests may take `deadline_cap` seconds."""
    return Terms(export_rules.validate, REFUSALS, on_call, deadline_cap, late=ExportTooSlow)
