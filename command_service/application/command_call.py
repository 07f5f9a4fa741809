"""Who asks, under which request id, for what: all that a command carries beside its own content."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

#: Namespace of ids that the service derives from a caller's request.
_DERIVED = UUID("6f1c5c0e-7d0b-5a3e-9c66-0d5b8a8e6f21")


@dataclass(frozen=True, slots=True)
class CommandCall:
    """One call of one command by an authenticated principal.

    `fingerprint` is the SHA-256 of what was asked, the request id left out; `traceparent` is W3C text or empty;
    `expected_version` is the only version of the order on which the caller wants it, None for any; after `deadline`
    (of `time.monotonic`) the caller waits no more, None: they wait as long as any may.
    """

    principal: str
    request_id: UUID
    fingerprint: bytes
    reason: str = ""
    traceparent: str = ""
    expected_version: int | None = None
    deadline: float | None = None

    def derived_id(self, kind: str) -> UUID:
        """An id for what the command makes when the caller names none: the same for each repetition of the request.

        So a request repeated after its first response was forgotten is refused as taken instead of done twice.
        """
        return uuid5(_DERIVED, f"{kind}\0{self.principal}\0{self.request_id}")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The response's bytes as the first call got them, and whether this is a repetition."""

    response: bytes
    replayed: bool
