"""The servers that a setting such as `nats://a:4222,nats://b:4222` names, to check it and to connect."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from service_runtime.host_names import is_host

_PLAIN, _WEB = frozenset({"nats", "tls"}), frozenset({"ws", "wss"})


def nats_servers(text: str) -> list[str]:
    """The URLs, without the blanks around them. ValueError, a sentence without secrets, when one is wrong."""
    servers = [one.strip() for one in text.split(",")]
    schemes = {_scheme(one) for one in servers}
    if schemes & _PLAIN and schemes & _WEB:
        raise ValueError("must be all nats:// and tls://, or all ws:// and wss://, not both")
    return servers


def _scheme(server: str) -> str:
    try:
        parts = urlsplit(server)
        known = parts.scheme in _PLAIN | _WEB and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # such as a port that is no number
        known = False
    if not known or re.search(r"\s", server) or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be nats://host:port or tls://host:port, several separated by commas")
    return parts.scheme
