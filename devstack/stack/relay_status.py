"""Observes all relays of one outbox: who leads, how far the stream lags, and what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devstack.stack.system_status import document, fetch

#: States of a healthy relay.
_WELL = frozenset({"PUBLISHING", "STANDBY"})
#: Older unpublished events than this make the whole degraded; the figure that the alerts warn at.
SLOW_SECONDS = 5.0


@dataclass(frozen=True)
class RelayPage:
    """The page `/lagz` of one relay; empty when it does not answer."""

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
    """The pages of all relays."""

    relays: Sequence[RelayPage]

    @property
    def leader(self) -> RelayPage | None:
        """The relay that leads; if several claim to, the one with the highest term."""
        leaders = [relay for relay in self.relays if relay.leads]
        return max(leaders, key=lambda relay: relay.page.get("term") or 0, default=None)

    @property
    def teller(self) -> RelayPage | None:
        """The leader, or another relay that answers: lag and losses are the same on every page."""
        return self.leader or next((relay for relay in self.relays if relay.page), None)

    @property
    def standbys(self) -> int:
        """Number of relays that wait for the lock."""
        return sum(relay.state == "STANDBY" for relay in self.relays)

    @property
    def problems(self) -> list[str]:
        """The problems, the worst first; empty when all is well."""
        problems = [f"{relay.address} does not answer" for relay in self.relays if not relay.page]
        problems += [
            f"{relay.address} is {relay.state}: {relay.page.get('last_error') or 'no reason given'}"
            for relay in self.relays
            if relay.page and relay.state not in _WELL
        ]
        teller = self.teller
        if teller is None:
            return problems
        if self.leader is None:
            problems.append("no relay leads")
        return [*problems, *_shared_problems(teller.page)]

    @property
    def state(self) -> str:
        """down if none answers, degraded if there is any problem, else up."""
        if self.teller is None:
            return "down"
        return "degraded" if self.problems else "up"

    def as_dict(self) -> dict[str, Any]:
        """Returns the status for JSON: the summary, then each relay's page."""
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


def _shared_problems(page: Mapping[str, Any]) -> Iterator[str]:
    """Yields the problems of outbox, lag and slot, which are the same on every relay's page."""
    age = page.get("oldest_unpublished_age_seconds")
    if age is None:
        yield "the lag is not known"
    elif age > SLOW_SECONDS:
        yield f"the oldest unpublished event is {age:.1f} s old"
    if page.get("parked_aggregates"):
        yield f"{page['parked_aggregates']} aggregates are parked"
    if (page.get("slot") or {}).get("status") in {"unreserved", "lost"}:
        yield f"slot {page['slot']['name']} is {page['slot']['status']}"


async def observe_relays(addresses: Sequence[str]) -> RelaysStatus:
    """Asks all of them at once."""
    answers = await asyncio.gather(*(fetch(address, "/lagz") for address in addresses))
    return RelaysStatus(
        [
            RelayPage(address, document(body) if status == 200 else {})
            for address, (status, body) in zip(addresses, answers, strict=True)
        ]
    )
