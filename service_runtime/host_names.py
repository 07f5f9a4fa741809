"""What can be the name of a host."""

from __future__ import annotations

import ipaddress
import re

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?", re.ASCII)


def is_host(text: str) -> bool:
    """Whether it is an IP address (without brackets) or could be a name; numbers and dots alone are no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) < 254 and bool(_NAME.fullmatch(text)) and not re.fullmatch(r"[\d.]+", text)
    return True
