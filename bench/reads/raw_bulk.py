"""`python -m bench.reads.raw_bulk URL PREFIX ORDERS TEMPLATES WORKERS`: measures how fast Elasticsearch alone indexes.

WORKERS threads send the `_bulk` operations that a projector would send, with one unanswered request each. The texts are
prepared; only their ids are replaced. The output is a JSON object: seconds from the first request to the last answer,
this process's CPU seconds, and the bytes sent.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bench.harness.process_usage import cpu_seconds
from bench.harness.program import run_program
from bench.harness.rounds import Figures, NotMeasured
from bench.reads.order_messages import Ids, Template
from bench.reads.read_side import ReadModel, elasticsearch
from bench.reads.recorded_operations import PREFIX

#: Events per request, as many as a projector takes at once.
EVENTS_PER_REQUEST = 500


async def raw_bulk(model: ReadModel, templates: list[Template], orders: int, workers: int) -> Figures:
    """Measures one run into new indices, which are set up like a read model's and deleted afterwards."""
    return await indexed(model, "bench.reads.raw_bulk", templates, orders, str(workers))


async def indexed(model: ReadModel, program: str, templates: list[Template], orders: int, *further: str) -> Figures:
    """Runs a program that indexes all orders, into new indices of the model, which are deleted afterwards.

    The program gets the URL of Elasticsearch, the prefix of the indices, the number of orders, a file with the pickled
    templates, and the further arguments. Its last line is a JSON object with `seconds`, `cpu` (its own) and `bytes`.
    """
    await model.migrate()
    file = model.directory / "templates"
    file.write_bytes(pickle.dumps(templates))
    pid = model.servers.elasticsearch.pid or 0
    before = cpu_seconds(pid)
    arguments = [model.servers.elasticsearch.url, f"{model.name}-", str(orders), str(file), *further]
    ran = await asyncio.to_thread(run_program, [sys.executable, "-m", program, *arguments], 600.0)
    server_cpu = cpu_seconds(pid) - before
    if ran.status != 0:
        raise NotMeasured(f"{program}: {ran.last_line}")
    said = json.loads(ran.last_line)
    async with elasticsearch(model.servers.elasticsearch.url) as connection:
        found = await model.counts(connection)
        await model.drop(connection)
    if found != (orders, orders):
        raise NotMeasured(f"{program}: {found} documents of {orders} orders")
    return {
        "rate": orders / said["seconds"],
        "cpu_us_per_event": 1e6 * said["cpu"] / orders,
        "elasticsearch_cpu_us_per_event": 1e6 * server_cpu / orders,
        "bytes_per_event": said["bytes"] / orders,
    }


def _bodies(templates: list[Template], orders: int) -> Iterator[bytes]:
    endless = itertools.cycle(templates)
    for first in range(0, orders, EVENTS_PER_REQUEST):
        numbers = range(first, min(first + EVENTS_PER_REQUEST, orders))
        yield b"".join(next(endless).with_ids(Ids.of(number)) for number in numbers)


def main(url: str, prefix: str, orders: int, file: Path, workers: int) -> None:
    """Writes the documents of all orders."""
    templates = [
        Template(one.text.replace(PREFIX, f'"{prefix}'.encode()), one.ids) for one in pickle.loads(file.read_bytes())
    ]
    bodies, lock = _bodies(templates, orders), threading.Lock()
    sent, failures = [0], list[str]()

    def worker() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        while not failures:
            with lock:
                body = next(bodies, None)
                if body is None:
                    return
                sent[0] += len(body)
            connection.request(
                "POST", "/_bulk?require_alias=true&filter_path=errors", body, {"Content-Type": "application/x-ndjson"}
            )
            if b'"errors":false' not in (answer := connection.getresponse().read()):
                failures.append(answer[:300].decode())

    started = time.perf_counter()
    threads = [threading.Thread(target=worker) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        sys.exit(failures[0])
    print(json.dumps({"seconds": seconds, "cpu": time.process_time(), "bytes": sent[0]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
