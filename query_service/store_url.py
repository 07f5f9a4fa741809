"""Reads the URL of an HTTP server: where it is, and the user who asks."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from service_runtime.host_names import is_host

_HTTPS_PORT = 443
#: A path may go into the first line of a request as it is: no spaces, no line ends, no letters beyond ASCII.
_PATH = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """A server, the path before all its paths (without a `/` at its end), and the value of `authorization`."""

    host: str
    port: int
    tls: bool
    path: str = ""
    authorization: str = field(default="", repr=False)

    @property
    def netloc(self) -> str:
        """Host and port as in the URL, without the user."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_http_url(url: str) -> HttpAddress:
    """Returns the address. Raises ValueError, without the URL, for any that is no http URL with its port.

    An https URL needs no port. User and password are percent-encoded, and are sent as basic authentication.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise ValueError("not one http or https URL without a query")
    tls = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port if parts.port is not None or not tls else _HTTPS_PORT
    if not is_host(host) or not port or not _PATH.fullmatch(parts.path):
        raise ValueError("host, port or path is missing or wrong")
    user = unquote(parts.username or ""), unquote(parts.password or "")
    authorization = f"Basic {b64encode(':'.join(user).encode()).decode()}" if "@" in parts.netloc else ""
    return HttpAddress(host, port, tls, parts.path.rstrip("/"), authorization)
