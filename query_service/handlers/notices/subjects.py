"""Defines the subjects on which projectors and serving processes communicate.

One stream may feed several read models, each through consumers of its own. Each generation of a read model has subjects
of its own, because it is fed and refreshed by itself. Serving processes listen to all generations.
"""

from __future__ import annotations

ALL = "*"


class NoticeSubjects:
    """The subjects of one generation (`ALL`: of every one), named after the stream and the read model's consumer."""

    def __init__(self, stream: str, consumer: str, generation: str) -> None:
        self._prefix = f"tandem.{stream.lower()}.{consumer}.{generation}"
        #: Notices of how fresh the generation is.
        self.as_of = f"{self._prefix}.as_of"
        #: Notices of how long events took from stage to stage.
        self.lag = f"{self._prefix}.lag"
        #: Requests to refresh the index; one projector answers each.
        self.refresh = f"{self._prefix}.refresh"
        #: Notices of a refresh that began, or is done.
        self.refreshed = f"{self._prefix}.refreshed"

    def applied(self, partition: int | str) -> str:
        """Returns the subject for applied versions of a partition of orders; `*` for all partitions."""
        return f"{self._prefix}.applied.{partition}"

    def parked(self, partition: int | str) -> str:
        """Returns the subject for parked versions of a partition of orders; `*` for all partitions."""
        return f"{self._prefix}.parked.{partition}"

    def refresh_by(self, projector: str) -> str:
        """Returns the subject for requests to one projector."""
        return f"{self._prefix}.refresh.{projector}"


def generation_of(subject: str) -> str:
    """Returns the generation that a subject belongs to."""
    return subject.split(".")[3]
