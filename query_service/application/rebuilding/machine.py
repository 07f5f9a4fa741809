"""Decides what each action does in each phase of a rebuild, and which generations projectors feed.

Everything here is a function of the stored rebuild and of the generation that answers readers. So a process that was
killed between two steps leaves nothing that the next one misreads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from query_service.application.ports.generations import FIRST_GENERATION, Phase, Rebuild, is_generation


class Action(StrEnum):
    """What an operator may ask for."""

    START = "start"
    VERIFY = "verify"
    SWITCH = "switch"
    ROLLBACK = "rollback"
    FINISH = "finish"
    CANCEL = "cancel"


class RebuildRefused(Exception):  # noqa: N818
    """The action does not fit the phase of the rebuild, or a condition is not met; the text says which."""


@dataclass(frozen=True, slots=True)
class Tail:
    """A rebuilt generation has what the stream had up to `sequence` from the exports, and the rest from the stream."""

    stream_created_at: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Feed:
    """A generation that projectors feed.

    `complete`: it has everything that the barriers of its consumer prove. While it is being filled it has not, and
    claims nothing. `serving`: it answers readers.
    """

    generation: str
    complete: bool = True
    tail: Tail | None = None
    serving: bool = True


def phase_of(rebuild: Rebuild, serving: str) -> Phase:
    """Returns the phase of a rebuild, given the generation that answers readers.

    A switch may overlap a verification that finds differences. Then the way back must be open too.
    """
    if serving == rebuild.new and rebuild.phase in (Phase.CATCHING_UP, Phase.VERIFIED):
        return Phase.SWITCHED
    if rebuild.phase is Phase.VERIFIED and rebuild.switched_at:
        return Phase.ROLLED_BACK
    return rebuild.phase


def feeds(rebuild: Rebuild | None, serving: str) -> list[Feed]:
    """Returns the generations that projectors must feed now, the one that answers readers first.

    `serving` is no generation when somebody sent readers to another index. That must not stop the projectors.
    """
    if not is_generation(serving):
        serving = _left(rebuild)
    if rebuild is None or rebuild.ended or rebuild.phase is Phase.PREPARED:
        return [Feed(serving)]
    tail = Tail(rebuild.stream_created_at, rebuild.tail_sequence)
    complete = rebuild.phase is not Phase.FILLING
    old = Feed(rebuild.old, serving=serving == rebuild.old)
    new = Feed(rebuild.new, complete, tail, serving=serving == rebuild.new)
    return sorted([old, new], key=lambda feed: not feed.serving)


def _left(rebuild: Rebuild | None) -> str:
    """Returns the generation that answered readers before a rebuild's switch, or after its end."""
    if rebuild is None:
        return FIRST_GENERATION
    return rebuild.new if rebuild.phase is Phase.FINISHED else rebuild.old


def next_generation(rebuild: Rebuild | None, serving: str) -> str:
    """Returns the name of the next generation. No name is used twice."""
    used = [serving] if rebuild is None else [serving, rebuild.old, rebuild.new]
    return f"g{max(int(name.removeprefix('g')) for name in used) + 1}"


_NOT_FILLED = "{new} is not filled yet; `tandem rebuild status` shows how far it is"
_NOT_SWITCHED = "{new} does not answer readers; there is nothing to {action}"
#: (phase, action) → why the action is refused. An action that is not here is allowed.
_REFUSALS: Mapping[tuple[Phase, Action], str] = {
    (Phase.PREPARED, Action.VERIFY): _NOT_FILLED,
    (Phase.FILLING, Action.VERIFY): _NOT_FILLED,
    (Phase.SWITCHED, Action.VERIFY): "{new} answers readers already; `tandem drift check` compares it",
    (Phase.PREPARED, Action.SWITCH): _NOT_FILLED,
    (Phase.FILLING, Action.SWITCH): _NOT_FILLED,
    (Phase.CATCHING_UP, Action.SWITCH): "{new} is not verified; run `tandem rebuild verify`",
    (Phase.SWITCHED, Action.SWITCH): "{new} answers readers already",
    (Phase.PREPARED, Action.ROLLBACK): _NOT_SWITCHED,
    (Phase.FILLING, Action.ROLLBACK): _NOT_SWITCHED,
    (Phase.CATCHING_UP, Action.ROLLBACK): _NOT_SWITCHED,
    (Phase.VERIFIED, Action.ROLLBACK): _NOT_SWITCHED,
    (Phase.ROLLED_BACK, Action.ROLLBACK): "{old} answers readers already",
    (Phase.PREPARED, Action.FINISH): _NOT_SWITCHED,
    (Phase.FILLING, Action.FINISH): _NOT_SWITCHED,
    (Phase.CATCHING_UP, Action.FINISH): _NOT_SWITCHED,
    (Phase.VERIFIED, Action.FINISH): _NOT_SWITCHED,
    (Phase.ROLLED_BACK, Action.FINISH): "{old} answers readers again; run `tandem rebuild switch` first, or `cancel`",
    (Phase.SWITCHED, Action.CANCEL): "{new} answers readers; run `tandem rebuild rollback` first, or `finish`",
    (Phase.FINISHED, Action.CANCEL): "the rebuild is finished, and {old} is deleted",
    **{
        (phase, Action.START): "the rebuild of {old} into {new} is not over; run `tandem rebuild finish` or `cancel`"
        for phase in (Phase.CATCHING_UP, Phase.VERIFIED, Phase.SWITCHED, Phase.ROLLED_BACK)
    },
    **{
        (phase, action): "no rebuild is running; `tandem rebuild start` begins one"
        for phase in (Phase.FINISHED, Phase.CANCELLED)
        for action in (Action.VERIFY, Action.SWITCH, Action.ROLLBACK)
    },
    (Phase.CANCELLED, Action.FINISH): "no rebuild is running; `tandem rebuild start` begins one",
}


def check(rebuild: Rebuild | None, serving: str, action: Action) -> Phase | None:
    """Returns the phase in which the action is allowed; None without a rebuild. Raises RebuildRefused."""
    if rebuild is None:
        if action is Action.START:
            return None
        raise RebuildRefused("no rebuild is running; `tandem rebuild start` begins one")
    phase = phase_of(rebuild, serving)
    refusal = _REFUSALS.get((phase, action))
    if refusal is not None:
        raise RebuildRefused(refusal.format(old=rebuild.old, new=rebuild.new, action=action))
    return phase
