"""Parses the setting for NATS servers, such as `nats://user:password@a:4222,nats://b:4222`, and checks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, SecretStr

from service_runtime.host_names import is_host

_PLAIN, _WEB = frozenset({"nats", "tls"}), frozenset({"ws", "wss"})


def nats_servers(text: str) -> list[str]:
    """Returns the URLs without surrounding blanks. Raises ValueError, without secrets, if one is wrong."""
    servers = [one.strip() for one in text.split(",")]
    schemes = {_scheme(one) for one in servers}
    if schemes & _PLAIN and schemes & _WEB:
        raise ValueError("must be all nats:// and tls://, or all ws:// and wss://, not both")
    if schemes & _WEB and find_spec("aiohttp") is None:  # the library needs aiohttp for WebSocket
        raise ValueError("names a WebSocket, for which the package aiohttp is not installed; use nats:// or tls://")
    if len({tuple(login.items()) for login in map(_login, servers) if login}) > 1:
        raise ValueError("must name the same user and password for all servers; naming them once is enough")
    return servers


def nats_login(text: str) -> Mapping[str, Any]:
    """Returns the login for all servers: `user` and `password`, or `token`, or nothing.

    The library itself takes the login from each URL without decoding it, so it would send `%40` for `@`. It would also
    send no login to a server whose URL has no user, or that it has discovered.
    """
    return next(filter(None, map(_login, text.split(","))), {})


def _login(server: str) -> Mapping[str, Any]:
    parts = urlsplit(server.strip())
    user = unquote(parts.username or "")
    if parts.password is not None:
        return {"user": user, "password": unquote(parts.password)}
    return {"token": user} if user else {}


def _scheme(server: str) -> str:
    try:
        parts = urlsplit(server)
        known = parts.scheme in _PLAIN | _WEB and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # such as a port that is no number
        known = False
    if not known or re.search(r"\s", server) or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be nats://host:port or tls://host:port, several separated by commas")
    return parts.scheme


def _checked(value: SecretStr) -> SecretStr:
    nats_servers(value.get_secret_value())
    return value


#: A setting with the URLs of NATS servers; see `nats_servers`.
NatsUrl = Annotated[SecretStr, AfterValidator(_checked)]
