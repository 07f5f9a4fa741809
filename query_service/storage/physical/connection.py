"""Sends requests to Elasticsearch and translates their failures.

A request returns an answer or raises one of three errors. DependencyDown means that Elasticsearch is unreachable,
overloaded or blocked, so the same request may succeed later. ReadStoreNotReady means that an alias is missing.
StoreDefect means that the request should not have been sent. A request is never retried here; the caller decides that.
A request with a guard is not even sent again on a new connection, because it could meet its own first copy.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec
import orjson

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.storage.physical.http.answers import HttpAnswer
from query_service.storage.physical.http.client import HttpClient
from query_service.storage.physical.http.errors import NoAnswer
from query_service.store_url import read_http_url

DEPENDENCY = "elasticsearch"
#: Statuses of failures that may pass: not allowed (yet), overload, blocks, a missing shard, an internal error.
PASSING = frozenset({401, 403, 408, 429, 500, 502, 503, 504})
#: Parameters with which a document is written only if it is as the caller has read it.
GUARDS = frozenset({"op_type", "if_seq_no", "if_primary_term"})
#: The form of requests and answers. A later major version of the server then speaks as this one does.
_VERSION = "; compatible-with=9"
_JSON = f"application/vnd.elasticsearch+json{_VERSION}"
_LINES = f"application/vnd.elasticsearch+x-ndjson{_VERSION}"


class StoreDefect(Exception):  # noqa: N818
    """Elasticsearch refused a request that the service should not have sent."""


class ElasticsearchConnection:
    """A client with a pool of `connections` connections. `request_timeout` is the most seconds for a request."""

    def __init__(self, url: str, *, request_timeout: float, connections: int = 32) -> None:
        #: The `preference` of searches: the same text always selects the same shard copies.
        self.affinity = secrets.token_hex(4)
        self._client = HttpClient(
            read_http_url(url),
            seconds=request_timeout,
            connections=connections,
            headers={"user-agent": "tandem", "accept": _JSON},
        )
        #: Whether an answer has said that it is from Elasticsearch.
        self._verified = False

    async def close(self) -> None:
        """Closes the pooled connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Any = None,
        lines: bytes | None = None,
        accept: tuple[int, ...] = (),
        decode: Callable[[bytes], Any] = orjson.loads,
    ) -> tuple[int, Any]:
        """Sends a request and returns status and decoded answer. `body` is sent as JSON, `lines` as they are (NDJSON).

        `decode` reads a success, for who needs less than all of it as dictionaries.
        A status of 400 or above is returned only when it is in `accept`; otherwise it raises (see the module).
        """
        target = f"{path}?{'&'.join(_parameter(*each) for each in params.items())}" if params else path
        once = params is not None and not GUARDS.isdisjoint(params)
        try:
            if lines is not None:
                answer = await self._client.request(method, target, lines, _LINES, once=once)
            elif body is not None:
                answer = await self._client.request(method, target, orjson.dumps(body), _JSON, once=once)
            else:
                answer = await self._client.request(method, target, once=once)
        except NoAnswer as error:
            raise DependencyDown(DEPENDENCY, str(error)) from None
        content = _content(answer, decode)
        if answer.status >= 400 and answer.status not in accept:
            raise failure(answer.status, content)
        if not self._verified:
            self._verify(answer)
        if "warning" in answer.headers:
            warnings.warn(f"Elasticsearch warns: {answer.headers['warning']}", UserWarning, stacklevel=2)
        return answer.status, content

    def _verify(self, answer: HttpAnswer) -> None:
        """Raises ReadStoreNotReady if a success comes from something else than an Elasticsearch."""
        self._verified = answer.headers.get("x-elastic-product") == "Elasticsearch"
        if answer.status < 300 and not self._verified:
            said = "the answer does not say that it is from one"
            raise ReadStoreNotReady(f"QUERY_ELASTICSEARCH_URL is not the URL of an Elasticsearch ({said})")


@lru_cache(maxsize=256)
def _parameter(name: str, value: str | int) -> str:
    """Returns a parameter of a request as part of its target."""
    return f"{name}={quote(str(value), safe=',*')}"


def _content(answer: HttpAnswer, decode: Callable[[bytes], Any]) -> Any:
    """Decodes an answer. Raises DependencyDown for one that is no JSON, for example the error page of a proxy."""
    if 300 <= answer.status < 400:
        raise DependencyDown(DEPENDENCY, f"{answer.status}: redirects are not followed")
    try:
        return decode(answer.body) if answer.status < 300 else orjson.loads(answer.body)
    except msgspec.ValidationError as error:
        raise DependencyDown(DEPENDENCY, f"{answer.status}: the answer has another shape: {error}") from None
    except (orjson.JSONDecodeError, msgspec.DecodeError):
        raise DependencyDown(DEPENDENCY, f"{answer.status}: the answer is no JSON") from None


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
