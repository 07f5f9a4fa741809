"""Sends requests to Elasticsearch and translates their failures.

A request returns an answer or raises one of three errors. DependencyDown means that Elasticsearch is unreachable,
overloaded or blocked, so the same request may succeed later. ReadStoreNotReady means that an alias is missing.
StoreDefect means that the request should not have been sent. A request is never retried here; the caller decides that.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Mapping
from typing import Any

import orjson
from elastic_transport import JsonSerializer, NdjsonSerializer, SerializationError, TransportError
from elasticsearch import AsyncElasticsearch, UnsupportedProductError

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady

DEPENDENCY = "elasticsearch"
#: Statuses of failures that may pass: not allowed (yet), overload, blocks, a missing shard, an internal error.
PASSING = frozenset({401, 403, 408, 429, 500, 502, 503, 504})
# aiohttp warns of bodies above a megabyte. A projector's requests have about two, which takes a millisecond or two.
warnings.filterwarnings("ignore", "Sending a large body directly", ResourceWarning)
_JSON, _LINES = "application/json", "application/x-ndjson"
_COMPATIBLE = "application/vnd.elasticsearch+json"


class StoreDefect(Exception):  # noqa: N818
    """Elasticsearch refused a request that the service should not have sent."""


class _Orjson(JsonSerializer):
    def dumps(self, data: Any) -> bytes:
        return data if isinstance(data, bytes) else orjson.dumps(data)

    def loads(self, data: bytes) -> Any:
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:  # for example the error page of a proxy
            raise SerializationError("the answer is no JSON", errors=(error,)) from None


class _Lines(NdjsonSerializer):
    """Passes lines on that are encoded already. The library would copy them twice."""

    def dumps(self, data: Any) -> bytes:
        return data if isinstance(data, bytes) else super().dumps(data)


class ElasticsearchConnection:
    """A client with a pool of `connections` connections. `request_timeout` is the most seconds for a request."""

    def __init__(self, url: str, *, request_timeout: float, connections: int = 32) -> None:
        #: The `preference` of searches: the same text always selects the same shard copies.
        self.affinity = secrets.token_hex(4)
        serializer = _Orjson()
        self._client = AsyncElasticsearch(
            url,
            max_retries=0,
            retry_on_timeout=False,
            request_timeout=request_timeout,
            connections_per_node=connections,
            serializers={_JSON: serializer, _COMPATIBLE: serializer, _LINES: _Lines()},
        ).options(ignore_status=tuple(range(400, 600)))

    async def close(self) -> None:
        """Closes the pooled connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        lines: bytes | None = None,
        accept: tuple[int, ...] = (),
    ) -> tuple[int, Any]:
        """Sends a request and returns status and decoded answer. `body` is sent as JSON, `lines` as they are (NDJSON).

        A status of 400 or above is returned only when it is in `accept`; otherwise it raises (see the module).
        """
        headers = {"accept": _JSON}
        if lines is not None:
            headers["content-type"] = _LINES
        elif body is not None:
            headers["content-type"] = _JSON
        try:
            answer = await self._client.perform_request(
                method, path, params=params, headers=headers, body=lines if lines is not None else body
            )
        except TransportError as error:
            raise DependencyDown(DEPENDENCY, f"{type(error).__name__}: {error.message}") from None
        except UnsupportedProductError as error:
            raise ReadStoreNotReady(f"QUERY_ELASTICSEARCH_URL is not the URL of an Elasticsearch ({error})") from None
        if answer.meta.status >= 400 and answer.meta.status not in accept:
            raise failure(answer.meta.status, answer.body)
        return answer.meta.status, answer.body


def failure(status: int, answer: Any) -> Exception:
    """Returns the error for a failed answer: ReadStoreNotReady, DependencyDown or StoreDefect."""
    error = answer.get("error") if isinstance(answer, dict) else None
    kind, reason = describe(error)
    if kind == "index_not_found_exception":
        return not_ready(reason)
    if status in PASSING or kind == "index_closed_exception" or _lost_point_in_time(error):
        return DependencyDown(DEPENDENCY, f"{status} {kind}: {reason}")
    return StoreDefect(f"{status} {kind}: {reason}")


def _lost_point_in_time(error: Any) -> bool:
    """Returns whether the server has restarted, and forgotten the point in time of a question in several requests."""
    causes = error.get("root_cause", ()) if isinstance(error, dict) else ()
    return any(cause.get("type") == "search_context_missing_exception" for cause in causes)


def describe(error: Any) -> tuple[str, str]:
    """Returns type and reason of an error in an answer. The reason includes those of its causes."""
    if not isinstance(error, dict):
        return "error", str(error)
    reason, cause = str(error.get("reason")), error.get("caused_by")
    while isinstance(cause, dict):
        reason, cause = f"{reason}: {cause.get('reason')}", cause.get("caused_by")
    return str(error.get("type")), reason


def not_ready(detail: str) -> ReadStoreNotReady:
    """Returns the error for an index or alias that is not as `migrate` creates it."""
    return ReadStoreNotReady(f"the read store is not set up ({detail}); run `python -m query_service migrate`")
