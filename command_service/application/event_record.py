"""An event as the journal keeps it: what the outbox row holds and the relay publishes."""

from __future__ import annotations

from dataclasses import dataclass

from command_service.domain.hash_chain import Link

AGGREGATE_TYPE = "order"


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One outbox row but for partition, position and transaction id. Its texts are stored and published as they are.

    `hash` covers `link`, and through it the digest of `salt` and `personal`.
    """

    link: Link
    personal: str
    salt: bytes
    hash: bytes
