"""Asks Elasticsearch for the work of its shards, by the server's own statistics."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

#: Figures of the statistics that count work, by the name that we give them.
_WORK = {
    "bulk_items": ("indexing", "index_total"),
    "gets": ("get", "total"),
    "searches": ("search", "query_total"),
    "refreshes": ("refresh", "external_total"),
}
_NEVER, _DEFAULT_INTERVAL = "-1", "1s"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class ReadModelIndices:
    """The indices whose names begin with `prefix`."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url, self.prefix = url, prefix

    async def work(self) -> dict[str, int]:
        """Returns how much work of each kind the shards have done so far."""
        path = f"/{self.prefix}*/_stats/indexing,get,search,refresh?expand_wildcards=all"
        totals = (await self.request("GET", path))["_all"]["total"]
        return {name: int(totals[part][figure]) for name, (part, figure) in _WORK.items()}

    async def refresh(self) -> None:
        """Makes everything written searchable."""
        await self.request("POST", f"/{self.prefix}*/_refresh?expand_wildcards=all")

    async def refreshes_a_minute(self) -> int:
        """Returns how often all indices together refresh themselves, as their settings say."""
        settings = await self.request("GET", f"/{self.prefix}*/_settings?flat_settings&expand_wildcards=all")
        intervals = [index["settings"].get("index.refresh_interval", _DEFAULT_INTERVAL) for index in settings.values()]
        return round(sum(60 / _seconds(interval) for interval in intervals if interval != _NEVER))

    async def stop_refreshing(self) -> None:
        """Makes all indices refresh only when they are asked to."""
        body = {"index": {"refresh_interval": _NEVER}}
        await self.request("PUT", f"/{self.prefix}*/_settings?expand_wildcards=all", body)

    async def drop(self) -> None:
        """Deletes the indices."""
        for index in await self.request("GET", f"/{self.prefix}*/_alias?expand_wildcards=all"):
            await self.request("DELETE", f"/{index}")

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Sends a request and returns the answer."""
        return await asyncio.to_thread(self._request, method, path, body)

    def _request(self, method: str, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


def _seconds(interval: str) -> float:
    """Reads a time such as `500ms`, `1s` or `2m`."""
    digits = interval.rstrip("hms")
    return float(digits) * _UNITS[interval.removeprefix(digits)]
