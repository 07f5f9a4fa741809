"""Describes a call apart from its command: who calls, with which request id, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

#: Namespace of ids that the service derives from a caller's request.
_DERIVED = UUID("6f1c5c0e-7d0b-5a3e-9c66-0d5b8a8e6f21")


@dataclass(frozen=True, slots=True)
class CommandCall:
    """One call of one command by an authenticated principal.

    `fingerprint` is the SHA-256 of the request without its request id. `reason` is the caller's text for the event.
    `traceparent` is the W3C trace context, or empty. `expected_version` is the only version of the order to which the
    command may be applied; None: any. `deadline` is the caller's deadline on `time.monotonic`; None: only the server's
    limit applies.
    """

    principal: str
    request_id: UUID
    fingerprint: bytes
    reason: str = ""
    traceparent: str = ""
    expected_version: int | None = None
    deadline: float | None = None

    def derived_id(self, kind: str) -> UUID:
        """Returns an id for something new of this `kind` (such as `order`). Every retry of the call gets the same id.

        It is used when the caller gave no id. If a request is retried after its stored response was deleted, the retry
        is refused because the id is taken, and is not executed a second time.
        """
        return uuid5(_DERIVED, f"{kind}\0{self.principal}\0{self.request_id}")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The serialised response to the first call with this request id. `replayed`: this call is a retry of that one."""

    response: bytes
    replayed: bool
