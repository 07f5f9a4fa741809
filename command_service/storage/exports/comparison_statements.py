"""Holds the statements for digests of orders and for cutting all orders into parts."""

from __future__ import annotations

from collections.abc import Sequence

from command_service.storage.connection.message_writer import Statement

#: The digests sort every order. With the server's default of 4 MB they would sort on disk.
SORT_MEMORY = "SET LOCAL work_mem = '64MB'"
#: The bytes of one order in its bucket's digest: id (16), version (8, big-endian), head hash (32).
DIGESTED = "uuid_send(order_id) || int8send(version) || head_hash"
COUNT = "SELECT count(*) FROM orders"
CUTS = (
    "SELECT order_id FROM (SELECT order_id, row_number() OVER (ORDER BY order_id) AS number FROM orders) AS numbered"
    " WHERE number = ANY($1::bigint[]) ORDER BY order_id"
)


def digests_of(partitions: Sequence[int]) -> Statement:
    """Returns the statement for bucket, number of orders and digest, of each bucket that has orders."""
    chosen = " WHERE partition = ANY($1::smallint[])" if partitions else ""
    return (
        f"SELECT partition, count(*), sha256(string_agg({DIGESTED}, ''::bytea ORDER BY order_id))"  # noqa: S608
        f" FROM orders{chosen} GROUP BY partition"
    ), [list(partitions)] if partitions else []


def numbers_of_cuts(orders: int, parts: int) -> list[int]:
    """Returns the number, counted from 1, of the last order of each part but the last, without empty parts."""
    return sorted({orders * part // parts for part in range(1, parts)} - {0, orders})
