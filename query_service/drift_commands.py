"""Runs `drift check` and `reproject`, and reports the result as JSON and an exit code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC
from typing import Any

from query_service.application.comparing.drift_check import DriftReport
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.order_source import SourceRefused
from query_service.application.reprojecting.reproject import Reprojected, Result
from query_service.projection.proto_json import moment

DONE, DRIFT, DOWN = 0, 1, 3


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What to print, and the exit code: 0 nothing differs any more, 1 something does, 3 a store or service is down."""

    exit_code: int
    document: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


async def report_drift(check: Callable[[], Awaitable[DriftReport]]) -> CheckReport:
    """Runs a round. Errors are in the report; it raises none of them."""
    try:
        report = await check()
    except SourceRefused as refused:
        return CheckReport(DRIFT, error=str(refused))
    except (DependencyDown, ReadStoreNotReady) as down:
        return CheckReport(DOWN, error=str(down))
    comparison = report.comparison
    document = {
        "compared_at": moment(comparison.compared_at).astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "source_epoch": comparison.source_epoch,
        "seconds": round(comparison.seconds, 3),
        "orders": comparison.orders,
        "content_checked": comparison.checked,
        "complete": comparison.complete,
        "found": dict(report.found),
        "repaired": dict(report.repaired),
        "problem": report.problem,
        "findings": [{**asdict(finding), "kind": str(finding.kind)} for finding in report.findings],
        "repairs": [_fields(repair) for repair in report.repairs],
    }
    return CheckReport(DONE if report.is_clean else DRIFT, document)


async def report_orders(reproject: Callable[[], Awaitable[Sequence[Reprojected]]]) -> CheckReport:
    """Projects orders again. Errors are in the report; it raises none of them."""
    try:
        done = await reproject()
    except SourceRefused as refused:
        return CheckReport(DRIFT, error=str(refused))
    except (DependencyDown, ReadStoreNotReady) as down:
        return CheckReport(DOWN, error=str(down))
    counts = {str(result): number for result in Result if (number := sum(one.result is result for one in done))}
    wrong = [one for one in done if one.result in (Result.UNKNOWN, Result.PARKED, Result.REFUSED)]
    document = {"orders": len(done), "results": counts, "not_reprojected": [_fields(one) for one in wrong]}
    return CheckReport(DRIFT if wrong else DONE, document)


def _fields(one: Reprojected) -> dict[str, Any]:
    return {**asdict(one), "result": str(one.result)}
