"""Times on the relay's page are in UTC and end with a Z, as those of every other document."""

from __future__ import annotations

import re

from relay.events.source import Mode
from relay.events.utc_time import utc_text
from relay.publishing.status import RelayStatus


def test_a_time_in_utc() -> None:
    assert utc_text(1_795_766_400.25) == "2026-11-27T08:00:00.250Z"


def test_the_pages_times_end_with_a_z() -> None:
    status = RelayStatus(Mode("poll"))
    status.failed("NATS is away")
    status.reached(Mode("poll"), stream_sequence=1, cursor=None, inflight_bytes=0, parked_aggregates=0)
    page = status.page()
    for name in ("last_error_at", "last_progress_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", page[name]), page
