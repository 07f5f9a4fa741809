"""Names the subjects on which projectors and serving processes communicate.

One stream may feed several read models, each through its own consumer. They must not hear each other.
"""

from __future__ import annotations


class NoticeSubjects:
    """The subjects of the read model that a consumer of a stream feeds."""

    def __init__(self, stream: str, consumer: str) -> None:
        self._prefix = f"tandem.{stream.lower()}.{consumer}"
        #: How fresh the read model is.
        self.as_of = f"{self._prefix}.as_of"
        #: How long events took from stage to stage.
        self.lag = f"{self._prefix}.lag"
        #: Requests to make searchable what is applied; projectors answer them.
        self.refresh = f"{self._prefix}.refresh"
        #: A projector's refresh that began, or is done.
        self.refreshed = f"{self._prefix}.refreshed"

    def applied(self, partition: int | str) -> str:
        """Subject for what became readable in a hash bucket of orders; `*` for all buckets."""
        return f"{self._prefix}.applied.{partition}"

    def parked(self, partition: int | str) -> str:
        """Subject for what was parked in a hash bucket of orders; `*` for all buckets."""
        return f"{self._prefix}.parked.{partition}"

    def refresh_by(self, projector: str) -> str:
        """Subject for requests to one projector."""
        return f"{self._prefix}.refresh.{projector}"
