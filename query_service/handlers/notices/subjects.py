"""Defines the subjects on which projectors and serving processes communicate.

One stream may feed several read models, each through its own consumer. Each has subjects of its own.
"""

from __future__ import annotations


class NoticeSubjects:
    """The subjects of one read model, named after the stream and the consumer that feed it."""

    def __init__(self, stream: str, consumer: str) -> None:
        self._prefix = f"tandem.{stream.lower()}.{consumer}"
        #: Notices of how fresh the read model is.
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
