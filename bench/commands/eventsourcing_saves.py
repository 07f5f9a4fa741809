"""Saves orders as aggregates of the library `eventsourcing`. `aggregate_saves` runs this in an environment with it.

Arguments: the database's URL, the number of callers, a file with a JSON list of orders. Prints the time per save in µs.
The code follows the library's documentation: one application, one aggregate per order, one event per save.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eventsourcing.application import Application  # type: ignore[import-not-found]
from eventsourcing.domain import Aggregate  # type: ignore[import-not-found]

WARM = 50


class Order(Aggregate):  # type: ignore[misc]
    """An aggregate that keeps the whole order as it was placed."""

    def __init__(self, placed: dict[str, Any]) -> None:
        self.placed = placed


class Shop(Application):  # type: ignore[misc]
    """The library's application, which saves the aggregates."""

    def place(self, placed: dict[str, Any]) -> None:
        """Saves one aggregate with one event."""
        self.save(Order(placed))


def settings(url: str, callers: int) -> Mapping[str, str]:
    """Returns the library's settings, with one pooled connection per caller."""
    parts = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.removeprefix("/"),
        "POSTGRES_HOST": parts.hostname or "",
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": parts.username or "",
        "POSTGRES_PASSWORD": parts.password or "none",
        "POSTGRES_POOL_SIZE": str(min(callers, 16)),
        "POSTGRES_MAX_OVERFLOW": "0",
    }


def main(url: str, callers: int, file: Path) -> None:
    """Saves every order once, `callers` at a time."""
    orders = json.loads(file.read_text(encoding="utf-8"))
    shop = Shop(env=settings(url, callers))
    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(shop.place, orders[:WARM]))
        started = time.perf_counter()
        list(threads.map(shop.place, orders[WARM:]))
        elapsed = time.perf_counter() - started
    shop.close()
    print(1e6 * elapsed / len(orders[WARM:]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
