"""Which source epoch an adoption gives, or that there is nothing to adopt."""

from __future__ import annotations

import pytest

from relay.adoption.parts import epoch_to_adopt
from relay.outbox.source_identity import SourceIdentity


@pytest.mark.parametrize(
    ("recorded", "cluster", "stream_epoch", "force", "epoch"),
    [
        (1, ("a", 1), 1, False, None),
        (1, ("a", 1), 1, True, 2),
        (1, ("a", 2), 1, False, 2),
        (1, ("b", 1), 1, False, 2),
        (1, ("b", 1), 4, False, 5),
        (2, ("a", 1), 1, False, 2),
        (2, ("a", 1), 1, True, 2),
        (2, ("a", 1), 3, False, 4),
    ],
)
def test_which_epoch_is_adopted(
    recorded: int, cluster: tuple[str, int], stream_epoch: int, force: bool, epoch: int | None
) -> None:
    assert epoch_to_adopt(SourceIdentity(recorded, "a", 1), cluster, stream_epoch, force=force) == epoch
