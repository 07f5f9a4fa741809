"""Measures what an order costs: the processor time of each process and store, and Elasticsearch's operations."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.harness.process_usage import cpu_seconds
from bench.harness.rounds import Figures, NotMeasured, Results, Run
from devstack.servers.http_probe import get_json

#: The name of this process, which calls the services, among those that use processor time.
CALLER = "caller"
#: Elasticsearch's counts by shard: the name here, and the path in the answer of `_stats`.
_COUNTS = {
    "bulks": ("bulk", "total_operations"),
    "refreshes": ("refresh", "total"),
    "gets": ("get", "total"),
    "merges": ("merges", "total"),
}


@dataclass(frozen=True, slots=True)
class Costs:
    """Reads what the processes `pids`, by name, and this process have used, and what Elasticsearch did with indices.

    `elasticsearch_port` is where Elasticsearch listens; the indices are those whose names begin with `prefix`.
    """

    pids: Mapping[str, int]
    elasticsearch_port: int
    prefix: str

    async def of(self, load: Run) -> Figures:
        """Runs an open loop. Returns its figures with the costs per order.

        These are `cpu_<name>` and `cpu_total` in ms; `cores`, the processor time per second; and Elasticsearch's
        counts. Raises NotMeasured if a process has ended.
        """
        counts, before, started = await self._counts(), self._seconds(), time.perf_counter()
        figures = await load()
        after, elapsed = self._seconds(), time.perf_counter() - started
        used = {name: after[name] - before[name] for name in before}
        if ended := [name for name, seconds in used.items() if seconds < 0]:
            raise NotMeasured(f"{', '.join(ended)} ended")
        orders, total = figures["pieces"], sum(used.values())
        counted = {name: (count - counts[name]) / orders for name, count in (await self._counts()).items()}
        return {
            **figures,
            **{f"cpu_{name}": 1e3 * seconds / orders for name, seconds in used.items()},
            "cpu_total": 1e3 * total / orders,
            "cores": total / elapsed,
            **counted,
        }

    def _seconds(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self.pids.items()} | {CALLER: time.process_time()}

    async def _counts(self) -> dict[str, int]:
        found: Any = await get_json(self.elasticsearch_port, f"/{self.prefix}*/_stats/bulk,refresh,get,merge", 30.0)
        if found is None:
            raise NotMeasured("Elasticsearch did not tell its counts")
        told = found["_all"]["primaries"]
        return {name: int(told[part][figure]) for name, (part, figure) in _COUNTS.items()}


def cost_table(results: Results, contenders: Iterable[str]) -> str:
    """Returns the medians of the contenders that were measured as a Markdown table, one row each."""
    measured = [contender for contender in contenders if contender in results.runs]
    if not measured:
        return ""
    figures = [name for name in results.runs[measured[0]][0] if name.startswith("cpu_")]
    columns = [*figures, "cores", "p50_ms", "p99_ms", "behind_s", *_COUNTS]
    titles = [column.removeprefix("cpu_") for column in columns]
    lines = ["| ms of CPU per order | " + " | ".join(titles) + " |", "|---" * (len(columns) + 1) + "|"]
    for contender in measured:
        values = (results.median(contender, column) for column in columns)
        lines.append(f"| {contender} | " + " | ".join("" if one is None else f"{one:.3g}" for one in values) + " |")
    return "\n".join(lines)
