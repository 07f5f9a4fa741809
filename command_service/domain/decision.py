"""What deciding gives: an event, and the order as it is after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from command_service.domain.events import Event, LaterEvent
from command_service.domain.evolve import evolve
from command_service.domain.order import Order

E = TypeVar("E", bound=Event, covariant=True)
Later = TypeVar("Later", bound=LaterEvent)


@dataclass(frozen=True, slots=True)
class Decision(Generic[E]):
    """The one event that a command makes happen, and the order after it."""

    event: E
    order: Order


def decided(state: Order, event: Later) -> Decision[Later]:
    """The decision that `event` happens to `state`."""
    return Decision(event, evolve(state, event))
