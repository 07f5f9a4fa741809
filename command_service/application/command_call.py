"""Describes a call: who asks, under which request id, until when. The command's own content is not part of it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

#: Namespace of ids that the service derives from a caller's request.
_DERIVED = UUID("6f1c5c0e-7d0b-5a3e-9c66-0d5b8a8e6f21")


@dataclass(frozen=True, slots=True)
class CommandCall:
    """One call of one command by an authenticated principal.

    `fingerprint` is the SHA-256 of the request without its id. `traceparent` is W3C text, or empty. `expected_version`
    is the only version of the order that the caller accepts; None: any. `deadline` is the caller's deadline on
    `time.monotonic`; None: only the server's cap applies.
    """

    principal: str
    request_id: UUID
    fingerprint: bytes
    reason: str = ""
    traceparent: str = ""
    expected_version: int | None = None
    deadline: float | None = None

    def derived_id(self, kind: str) -> UUID:
        """Returns an id for what the command creates when the caller names none: the same for every retry.

        A request retried after its response was deleted is therefore refused as taken, and not executed twice.
        """
        return uuid5(_DERIVED, f"{kind}\0{self.principal}\0{self.request_id}")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The response's bytes as the first call got them, and whether this call is a retry of it."""

    response: bytes
    replayed: bool
