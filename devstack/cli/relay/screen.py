"""Shows `tandem relay status` on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devstack.cli.stack.status_screen import COLOURS
from devstack.cli.tables import Column, Facts, Rows
from devstack.cli.terminal import Picture, plain, together
from devstack.stack.relay_status import RelayPage, RelaysStatus

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
UNKNOWN = "–"
_RELAYS = (
    Column("address", named=False), Column("state", named=False), Column("role", named=False), Column("mode"),
    Column("last error", folds=True),
)  # fmt: skip


def screen(seen: RelaysStatus) -> Picture:
    """Draws the state of all relays in a few lines, then one line per relay."""
    pairs: list[tuple[str, Any]] = [("relay", plain(seen.state, COLOURS[seen.state]))]
    if seen.teller is not None:
        pairs += _facts(seen, seen.teller)
    pairs += [("problem", plain(problem, COLOURS[seen.state])) for problem in seen.problems]
    return together(Facts(pairs), plain(""), Rows(_RELAYS, [_row(relay) for relay in seen.relays]))


def _facts(seen: RelaysStatus, teller: RelayPage) -> Iterator[tuple[str, str]]:
    page, leader = teller.page, seen.leader
    reason = f" ({page['mode_reason']})" if page.get("mode_reason") else ""
    yield "mode", f"{page.get('mode')}{reason}"
    yield "leader", f"{leader.address}, term {page.get('term')}" if leader is not None else "none"
    yield "standbys", str(seen.standbys)
    yield "lag", _lag(page)
    yield "slot", _slot(page.get("slot"))
    yield "stream", _stream(page)
    yield "epochs", f"source {page.get('source_epoch') or UNKNOWN}, publish {page.get('publish_epoch') or UNKNOWN}"
    yield "parked", f"{page.get('parked_aggregates', 0)} aggregates"
    yield "losses", str(page.get("loss") or "none")
    if (adoption := page.get("adoption")) is not None:
        yield "adopted", _adoption(adoption)
    yield "last error", f"{page.get('last_error_at', '')}  {page['last_error']}" if page.get("last_error") else "none"


def _row(relay: RelayPage) -> tuple[str, ...]:
    page = relay.page
    role = "leader" if relay.leads else "standby" if relay.state == "STANDBY" else UNKNOWN
    return relay.address, relay.state, role, str(page.get("mode", UNKNOWN)), str(page.get("last_error") or UNKNOWN)


def _lag(page: Mapping[str, Any]) -> str:
    age, events = page.get("oldest_unpublished_age_seconds"), page.get("backlog_events")
    if age is None or events is None:
        return "not known"
    more = "or more " if page.get("backlog_capped") else ""
    behind = page.get("behind_bytes")
    size = f"{readable(behind)} of log" if behind is not None else "bytes not known while polling"
    return f"{events} {more}events, {size}, {age:.3f} s"


def _stream(page: Mapping[str, Any]) -> str:
    sequence = page.get("stream_sequence") or page.get("last_stored_sequence") or UNKNOWN
    full = f", {page['stream_used_ratio']:.1%} full" if page.get("stream_used_ratio") is not None else ""
    return f"sequence {sequence}{full}"


def _slot(slot: Mapping[str, Any] | None) -> str:
    if slot is None:
        return "none"
    safe = (
        f"{readable(slot['safe_bytes'])} safe before it is lost"
        if slot["safe_bytes"] is not None
        else "no limit to the log it keeps"
    )
    use = "read" if slot["active"] else "not read"
    return f"{slot['name']} {slot['status']}, {use}, keeps {readable(slot['retained_bytes'])}, {safe}"


def _adoption(adoption: Mapping[str, Any]) -> str:
    text = (
        f"epoch {adoption['source_epoch']} at {adoption['adopted_at']}: {adoption['published']} events published that"
        f" the stream lacked, {adoption['lost_events']} of {adoption['lost_aggregates']} aggregates lost by the source"
    )
    named = [f"{one['aggregate_type']} {one['aggregate_id']}: {one['event_id']}" for one in adoption["lost"][:3]]
    return f"{text} ({', '.join(named)}{', …' if adoption['lost_events'] > 3 else ''})" if named else text


def readable(count: float) -> str:
    """Returns a number of bytes in a readable unit."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
