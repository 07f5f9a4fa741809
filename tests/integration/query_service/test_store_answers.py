"""What the connection to Elasticsearch makes of answers, also those of a proxy or of something else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.storage.physical.connection import ElasticsearchConnection, StoreDefect
from tests.support.queries.scripted_server import Asked, Script, ScriptedServer, Writer, answer, scripted
from tests.support.source_mutants import Mutant, noticed


@asynccontextmanager
async def connected(script: Script) -> AsyncIterator[tuple[ScriptedServer, ElasticsearchConnection]]:
    async with scripted(script) as server:
        connection = ElasticsearchConnection(server.url, request_timeout=20)
        try:
            yield server, connection
        finally:
            await connection.close()


def saying(data: bytes) -> Script:
    async def script(_: Asked, writer: Writer) -> None:
        writer.write(data)

    return script


FOUND = answer(b'{"found":true}')
PAGE = b"<html>Bad gateway</html>"
ERROR = orjson.dumps({"error": {"type": "illegal", "reason": "so", "caused_by": {"reason": "as"}}, "status": 400})
FAILURES: dict[str, tuple[bytes, type[Exception], str]] = {
    "an error page of a proxy": (answer(PAGE, status=502, content_type="text/html"), DependencyDown, "502: .*no JSON"),
    "another page of a proxy": (answer(PAGE, status=404, x_elastic_product=""), DependencyDown, "404: .*no JSON"),
    "a page as success": (answer(PAGE, x_elastic_product=""), DependencyDown, "200: the answer is no JSON"),
    "nothing": (answer(b"", status=503), DependencyDown, "503: the answer is no JSON"),
    "half of an answer": (answer(b'{"found":tr'), DependencyDown, "200: the answer is no JSON"),
    "a redirect": (answer(b"{}", status=302, location="http://x"), DependencyDown, "302: redirects are not followed"),
    "another product": (answer(b"{}", x_elastic_product=""), ReadStoreNotReady, "not the URL of an Elasticsearch"),
    "not allowed": (answer(b'{"error":"no"}', status=401, x_elastic_product=""), DependencyDown, "401 error: no"),
    "overload": (answer(b'{"error":{"type":"rejected","reason":"full"}}', status=429), DependencyDown, "429 rejected"),
    "a defect": (answer(ERROR, status=400), StoreDefect, "400 illegal: so: as"),
}


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_failure_says_what_it_is(kind: str) -> None:
    data, error, said = FAILURES[kind]
    async with connected(saying(data)) as (server, connection):
        with pytest.raises(error, match=said):
            await connection.request("GET", "/x/_doc/1")
        assert len(server.asked) == 1


async def test_a_status_that_is_asked_for_is_returned() -> None:
    async with connected(saying(answer(b'{"found":false}', status=404))) as (_, connection):
        assert await connection.request("GET", "/x/_doc/1", accept=(404,)) == (404, {"found": False})


async def test_requests_are_sent_as_the_server_expects_them() -> None:
    async with connected(saying(FOUND)) as (server, connection):
        params: dict[str, str | int] = {"filter_path": "items.*.status,x y&z", "version": 17}
        await connection.request("PUT", "/x/_doc/1", params=params, body={"a": [1, None, "ü"]})
        await connection.request("POST", "/_bulk", lines=b"{}\n{}\n")
        await connection.request("GET", "/x-*,x/_alias")
    put, bulk, get = server.asked
    assert put.target == "/x/_doc/1?filter_path=items.*.status,x%20y%26z&version=17"
    assert (orjson.loads(put.body), bulk.body, get.body) == ({"a": [1, None, "ü"]}, b"{}\n{}\n", b"")
    versions = {each.headers["accept"] for each in server.asked}
    assert versions == {"application/vnd.elasticsearch+json; compatible-with=9"}
    assert put.headers["content-type"] == "application/vnd.elasticsearch+json; compatible-with=9"
    assert bulk.headers["content-type"] == "application/vnd.elasticsearch+x-ndjson; compatible-with=9"


async def test_what_the_server_warns_of_is_shown() -> None:
    async with connected(saying(answer(b"{}", warning='299 Elasticsearch "old"'))) as (_, connection):
        with pytest.warns(UserWarning, match="Elasticsearch warns: 299"):
            await connection.request("GET", "/")


@pytest.mark.mutant
async def test_a_connection_that_takes_any_server_is_noticed() -> None:
    mutant = Mutant(ElasticsearchConnection._verify, "answer.status < 300 and not self._verified", "False")
    with noticed(mutant):
        await test_a_failure_says_what_it_is("another product")
