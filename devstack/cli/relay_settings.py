"""Which relay a command is about: the local stack's, if it runs here, else the environment's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail

if TYPE_CHECKING:
    from relay.config import RelaySettings


def relay_settings(as_json: bool) -> RelaySettings:
    """Settings as the relay itself would have them; ends the command when there are none. RELAY_DATABASE_URL of the
    environment wins over the local stack's."""
    from devstack.known_stack import known_stack
    from relay.config import RelaySettings
    from service_runtime.config import load_settings
    from service_runtime.process import StartupRefused

    stack = None if os.environ.get("RELAY_DATABASE_URL") else known_stack()
    if stack is not None:
        os.environ.update(stack.settings())
    try:
        return load_settings(RelaySettings)
    except StartupRefused as refusal:
        hint = "" if stack is not None else "Nothing runs here, and the environment names no other relay:\n"
        fail(f"{hint}{refusal}", ExitCode.USAGE, as_json=as_json)
