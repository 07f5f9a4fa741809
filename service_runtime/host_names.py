"""Checks whether a text can be a host: a name or an IP address."""

from __future__ import annotations

import ipaddress
import re

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?", re.ASCII)


def is_host(text: str) -> bool:
    """Returns whether the text is an IP address (without brackets) or a possible host name.

    Other text of digits and dots only is no host name.
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) < 254 and bool(_NAME.fullmatch(text)) and not re.fullmatch(r"[\d.]+", text)
    return True
