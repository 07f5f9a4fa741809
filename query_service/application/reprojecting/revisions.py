"""Chooses the external version with which a document is written again: the stored one, one revision higher.

So the new write replaces whatever is stored, and neither the event itself nor an older write can replace it. A later
event of the order still does.
"""

from __future__ import annotations

from query_service.projection.external_version import MAX_REVISION, external_version


class RevisionsUsedUp(Exception):  # noqa: N818
    """A version of the order was written again as often as its external version allows."""

    def __init__(self, order_id: str, version: int) -> None:
        super().__init__(
            f"version {version} of order {order_id} has reached revision {MAX_REVISION}, the highest: rebuild the read"
            " model, which begins with revision 0 again"
        )


def next_revision(stored: int, source_epoch: int, order_id: str, version: int) -> int | None:
    """Returns the revision that replaces what is stored under the external version `stored` (0: nothing is).

    Returns None when the stored document is of a later version of the order. Raises RevisionsUsedUp.
    """
    above = stored - external_version(source_epoch, version)
    if above < 0:
        return 0
    if above > MAX_REVISION:
        return None
    if above == MAX_REVISION:
        raise RevisionsUsedUp(order_id, version)
    return above + 1
