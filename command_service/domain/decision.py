"""Defines a decision: an event, and the order after that event. An event that changes nothing is not recorded."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Generic, TypeVar

from command_service.domain.events import Event, LaterEvent
from command_service.domain.evolve import evolve
from command_service.domain.order import Order

E = TypeVar("E", bound=Event, covariant=True)
Later = TypeVar("Later", bound=LaterEvent)

#: Returns the values of an order that an event which changes nothing leaves equal.
_what_stays = attrgetter(*(field.name for field in fields(Order) if field.name not in ("version", "updated_at")))


@dataclass(frozen=True, slots=True)
class Decision(Generic[E]):
    """The result of an allowed command: the event that it causes, and the order after that event."""

    event: E
    order: Order


def decided(state: Order, event: Later) -> Decision[Later]:
    """Returns the decision for `event` on an existing order. `state` is the order before the event."""
    return Decision(event, evolve(state, event))


def changes_nothing(before: Order, decision: Decision[Event]) -> bool:
    """Returns whether a decision about the order `before` leaves it as it was, apart from version and update time."""
    return _what_stays(decision.order) == _what_stays(before)
