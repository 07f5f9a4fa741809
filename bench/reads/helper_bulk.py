"""`python -m bench.reads.helper_bulk URL PREFIX ORDERS TEMPLATES`: indexes by the library's own `async_streaming_bulk`.

This is what a program does that writes documents with the library and nothing else. It writes the documents that a
projector writes, with the same external versions, as many in a request. The documents are prepared, and only their ids
differ: nothing is read, decided or built. The output is a JSON object: seconds from the first document to the last
answer, this process's CPU seconds, and the bytes of the documents and actions.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import pickle
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from bench.harness.rounds import Figures
from bench.reads.order_messages import Ids, Template
from bench.reads.raw_bulk import EVENTS_PER_REQUEST, indexed
from bench.reads.read_side import ReadModel
from bench.reads.recorded_operations import PREFIX


async def helper_bulk(model: ReadModel, templates: list[Template], orders: int) -> Figures:
    """Measures one run into new indices, which are set up like a read model's and deleted afterwards."""
    return await indexed(model, "bench.reads.helper_bulk", templates, orders)


async def _actions(samples: Sequence[tuple[str, list[dict[str, Any]]]], orders: int) -> AsyncIterator[dict[str, Any]]:
    """Yields the actions of all orders: a sample's, with the order's id in place of the sample's in each `_id`."""
    for number, (sample_id, actions) in zip(range(orders), itertools.cycle(samples), strict=False):
        order_id = Ids.of(number).order_id
        for action in actions:
            yield {**action, "_id": action["_id"].replace(sample_id, order_id)}


def actions_of(template: Template, prefix: str) -> list[dict[str, Any]]:
    """Returns an order's operations as the library takes them."""
    lines = template.text.replace(PREFIX, b'"' + prefix.encode()).splitlines()
    found = []
    for action, document in zip(lines[::2], lines[1::2], strict=True):
        [(kind, meta)] = orjson.loads(action).items()
        found.append({"_op_type": kind, **_underscored(meta), "_source": orjson.loads(document)})
    return found


def _underscored(meta: dict[str, Any]) -> dict[str, Any]:
    return {name if name.startswith("_") else f"_{name}": value for name, value in meta.items()}


async def main(url: str, prefix: str, orders: int, file: Path) -> None:
    """Writes the documents of all orders."""
    from elasticsearch import AsyncElasticsearch
    from elasticsearch.helpers import async_streaming_bulk

    templates = pickle.loads(file.read_bytes())
    samples = [(one.ids.order_id, actions_of(one, prefix)) for one in templates]
    size = sum(len(one.text) for one in templates) * orders // len(templates)
    per_request = EVENTS_PER_REQUEST * len(samples[0][1])
    async with AsyncElasticsearch(url, request_timeout=60) as client:
        started = time.perf_counter()
        async for done, answer in async_streaming_bulk(client, _actions(samples, orders), chunk_size=per_request):
            if not done:
                sys.exit(f"refused: {answer}")
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "cpu": time.process_time(), "bytes": size}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
