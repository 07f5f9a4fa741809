"""Pairs a decided event with the order after it."""

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
    """The event that a command causes, and the order after it."""

    event: E
    order: Order


def decided(state: Order, event: Later) -> Decision[Later]:
    """Returns the decision that `event` happens to `state`."""
    return Decision(event, evolve(state, event))
