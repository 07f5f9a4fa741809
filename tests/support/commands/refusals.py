"""A command that a rule refuses: what tests of decisions list, so that each rule can be seen to be tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pytest

from command_service.domain.commands import Command
from command_service.domain.errors import RuleViolated
from command_service.domain.order import Order
from command_service.domain.rules import Rule
from tests.support.commands.domain_orders import NOW, decision


@dataclass(frozen=True)
class Refused:
    """The rule that refuses `command` in `state`, and some of the details that callers get."""

    rule: Rule
    state: Order | None
    command: Command
    details: Mapping[str, str] | None = None
    now: datetime = NOW

    @property
    def refusal(self) -> RuleViolated:
        """What the decision raises; fails when it raises nothing."""
        with pytest.raises(RuleViolated) as refused:
            decision(self.state, self.command, self.now)
        return refused.value

    def check(self) -> None:
        """Fails unless exactly this rule refuses it."""
        refusal = self.refusal
        assert refusal.rule == self.rule
        assert (self.details or {}).items() <= refusal.details.items()
