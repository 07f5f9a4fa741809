"""Computes the digests of a read model, bucket by bucket, as the write side computes its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from uuid import UUID

from query_service.application.ports.checked_store import ScannedOrder
from query_service.application.ports.order_source import BucketDigest

BUCKETS = 64


class DigestsOfScan:
    """Adds up orders in the sequence of their ids. `bucket_of` returns the bucket of an order id, 0 to 63."""

    def __init__(self, bucket_of: Callable[[str], int]) -> None:
        self._bucket_of = bucket_of
        self._digests = [hashlib.sha256() for _ in range(BUCKETS)]
        self._orders = [0] * BUCKETS

    def add(self, orders: Iterable[ScannedOrder]) -> None:
        """Adds orders. What cannot be an order of the write side is counted and leaves the digest different."""
        for order in orders:
            try:
                bucket, order_id, digest = (
                    self._bucket_of(order.order_id),
                    UUID(order.order_id).bytes,
                    bytes.fromhex(order.hash),
                )
                version = order.version.to_bytes(8)
            except (ValueError, OverflowError):
                bucket, order_id, version, digest = 0, b"", b"", b""
            self._orders[bucket] += 1
            self._digests[bucket].update(order_id + version + digest)

    def buckets(self) -> list[BucketDigest]:
        """Returns the digest of each bucket."""
        return [
            BucketDigest(orders, digest.digest()) for orders, digest in zip(self._orders, self._digests, strict=True)
        ]
