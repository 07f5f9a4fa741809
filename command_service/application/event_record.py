"""Describes an event as the outbox stores it and the relay publishes it."""

from __future__ import annotations

from dataclasses import dataclass

from command_service.domain.hash_chain import Link

AGGREGATE_TYPE = "order"


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One row of the outbox without partition, position and transaction id.

    The relay publishes the JSON texts exactly as they are stored. `hash` covers `link`. The link contains the digest of
    `salt` and `personal`, so the hash covers these too.
    """

    link: Link
    personal: str
    salt: bytes
    hash: bytes
