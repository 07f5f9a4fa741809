"""Reports the progress of a starting server, phase by phase."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Phase = Literal["download", "install", "start"]


@dataclass(frozen=True)
class Progress:
    """One report. `state` begin → advance… → done (or failed); `seconds` since begin; `detail` is free text."""

    server: str
    phase: Phase
    state: Literal["begin", "advance", "done", "failed"]
    seconds: float
    detail: str = ""


Listener = Callable[[Progress], None]
"""Receives every report; called in the event loop, must not block."""


class PhaseClock:
    """Times the phases of one server and tells the listener; `durations` holds seconds per finished phase."""

    def __init__(self, server: str, listener: Listener | None) -> None:
        self._server = server
        self._listener = listener
        self.durations: dict[Phase, float] = {}

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[Callable[[str], None]]:
        """Reports the begin and end of one phase; yields a function that reports an advance."""
        begun = time.monotonic()

        def tell(state: Literal["begin", "advance", "done", "failed"], detail: str = "") -> None:
            if self._listener is not None:
                self._listener(Progress(self._server, phase, state, time.monotonic() - begun, detail))

        tell("begin")
        try:
            yield lambda detail: tell("advance", detail)
        except BaseException as error:
            tell("failed", str(error))
            raise
        self.durations[phase] = time.monotonic() - begun
        tell("done")
