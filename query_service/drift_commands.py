"""Runs `drift check` and `reproject`, and reports the result as JSON and an exit code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC
from typing import Any

from query_service.application.comparing.drift_check import DriftReport
from query_service.application.comparing.findings import Finding
from query_service.application.comparing.generation_check import GenerationReport
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
    document = {
        **_compared(report.generations[:1]),
        "seconds": round(report.seconds, 3),
        "generations": [one.generation for one in report.generations],
        "passed_over": dict(report.passed_over),
        "complete": report.is_complete,
        "found": dict(report.found),
        "repaired": dict(report.repaired),
        "problem": report.problem,
        "findings": [
            *(_finding("", finding) for finding in report.swapped),
            *(_finding(one.generation, finding) for one in report.generations for finding in one.comparison.findings),
        ],
        "repairs": [
            {"generation": one.generation, **_fields(repair)} for one in report.generations for repair in one.repairs
        ],
    }
    return CheckReport(DONE if report.is_clean else DRIFT, document)


def _compared(first: Sequence[GenerationReport]) -> dict[str, Any]:
    """Returns what was compared, of the generation that answers readers; nothing when it was not compared."""
    fields: dict[str, Any] = {"compared_at": None, "source_epoch": 0, "orders": 0, "content_checked": 0}
    for comparison in (one.comparison for one in first):
        compared_at = moment(comparison.compared_at).astimezone(UTC).isoformat().replace("+00:00", "Z")
        fields = {
            "compared_at": compared_at,
            "source_epoch": comparison.source_epoch,
            "orders": comparison.orders,
            "content_checked": comparison.checked,
        }
    return fields


def _finding(generation: str, finding: Finding) -> dict[str, Any]:
    return {"generation": generation, **asdict(finding), "kind": str(finding.kind)}


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
