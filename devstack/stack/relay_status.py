"""Observes all relays of one outbox: who leads, how far the stream lags, and what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devstack.stack.system_status import document, fetch

#: States in which a relay does what it should.
_WELL = frozenset({"PUBLISHING", "STANDBY"})
#: Older unpublished events than this make the whole degraded; the figure that the alerts warn at.
SLOW_SECONDS = 5.0


@dataclass(frozen=True)
class RelayPage:
    """What one relay says of itself (`/lagz`); empty when it does not answer."""

    address: str
    page: Mapping[str, Any]

    @property
    def state(self) -> str:
        """Its state, or DOWN."""
        return str(self.page.get("state", "DOWN"))

    @property
    def leads(self) -> bool:
        """Whether it holds the lock."""
        return bool(self.page.get("leader"))


@dataclass(frozen=True)
class RelaysStatus:
    """All relays asked."""

    relays: Sequence[RelayPage]

    @property
    def leader(self) -> RelayPage | None:
        """The one that leads; of several that say so, the one of the highest term."""
        leaders = [relay for relay in self.relays if relay.leads]
        return max(leaders, key=lambda relay: relay.page.get("term") or 0, default=None)

    @property
    def teller(self) -> RelayPage | None:
        """The leader, or who else answers: lag and losses are the same for all."""
        return self.leader or next((relay for relay in self.relays if relay.page), None)

    @property
    def standbys(self) -> int:
        """How many wait for the lock."""
        return sum(relay.state == "STANDBY" for relay in self.relays)

    @property
    def problems(self) -> list[str]:
        """What is not as it should be, the gravest first; empty when all is well."""
        found = [f"{relay.address} does not answer" for relay in self.relays if not relay.page]
        found += [
            f"{relay.address} is {relay.state}: {relay.page.get('last_error') or 'no reason told'}"
            for relay in self.relays
            if relay.page and relay.state not in _WELL
        ]
        teller = self.teller
        if teller is None:
            return found
        if self.leader is None:
            found.append("no relay leads")
        page = teller.page
        age = page.get("oldest_unpublished_age_seconds")
        if age is None:
            found.append("the lag is not known")
        elif age > SLOW_SECONDS:
            found.append(f"the oldest unpublished event is {age:.1f} s old")
        if page.get("parked_aggregates"):
            found.append(f"{page['parked_aggregates']} aggregates are parked")
        if (page.get("slot") or {}).get("status") in {"unreserved", "lost"}:
            found.append(f"slot {page['slot']['name']} is {page['slot']['status']}")
        return found

    @property
    def state(self) -> str:
        """down when none answers, degraded when anything is not as it should be, else up."""
        if self.teller is None:
            return "down"
        return "degraded" if self.problems else "up"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the whole first, then each relay's page."""
        leader, teller = self.leader, self.teller
        facts = dict(teller.page) if teller is not None else {}
        wanted = (
            "mode", "mode_reason", "term", "source_epoch", "publish_epoch", "backlog_events", "backlog_capped",
            "oldest_unpublished_age_seconds", "behind_bytes", "slot", "stream_sequence", "stream_used_ratio",
            "parked_aggregates", "loss", "adoption",
        )  # fmt: skip
        return {
            "state": self.state,
            "problems": self.problems,
            "leader": leader.address if leader is not None else None,
            "standbys": self.standbys,
            **{name: facts.get(name) for name in wanted},
            "relays": [{"address": relay.address, **relay.page} for relay in self.relays],
        }


async def observe_relays(addresses: Sequence[str]) -> RelaysStatus:
    """Asks all of them at once."""
    answers = await asyncio.gather(*(fetch(address, "/lagz") for address in addresses))
    return RelaysStatus(
        [
            RelayPage(address, document(body) if status == 200 else {})
            for address, (status, body) in zip(addresses, answers, strict=True)
        ]
    )
