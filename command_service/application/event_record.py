"""Describes an event as the outbox stores it and the relay publishes it."""

from __future__ import annotations

from dataclasses import dataclass

from command_service.domain.hash_chain import Link

AGGREGATE_TYPE = "order"


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One row of the outbox without partition, position and transaction id. Its texts are published as stored.

    `hash` covers `link`, and through it the digest of `salt` and `personal`.
    """

    link: Link
    personal: str
    salt: bytes
    hash: bytes
