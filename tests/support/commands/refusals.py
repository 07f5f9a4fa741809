"""Commands that rules refuse. Tests of decisions list them, so another test can check that each rule is covered."""

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
    """A rule that refuses `command` in `state`, and some details of the refusal."""

    rule: Rule
    state: Order | None
    command: Command
    details: Mapping[str, str] | None = None
    now: datetime = NOW

    @property
    def refusal(self) -> RuleViolated:
        """Returns the decision's exception; fails when it raises none."""
        with pytest.raises(RuleViolated) as refused:
            decision(self.state, self.command, self.now)
        return refused.value

    def check(self) -> None:
        """Fails unless exactly this rule refuses it."""
        refusal = self.refusal
        assert refusal.rule == self.rule
        assert (self.details or {}).items() <= refusal.details.items()
