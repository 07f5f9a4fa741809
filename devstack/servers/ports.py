"""Ports on loopback: a free one from the operating system, or one clear sentence about a busy one."""

import errno
import random
import socket

import psutil

from devstack.servers.errors import PortBusy

HOST = "127.0.0.1"


#: Below the ports that systems give to outgoing connections: one of those could take a port before its server does.
_FREE = range(15_000, 32_000)
#: What this process was given: it may not listen there yet.
_given: set[int] = set()


def free_port() -> int:
    """A TCP port of loopback that nobody listens on at this moment, and that this process was not given before."""
    if len(_given) >= len(_FREE) // 2:
        _given.clear()
    while True:
        port = random.choice(_FREE)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise
        _given.add(port)
        return port


def require_free(port: int, server: str, setting: str) -> None:
    """Raises PortBusy naming the port, who holds it and the setting that moves `server` elsewhere."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortBusy(
                f"{server} cannot listen on port {port}: {_holder(port)} already does;"
                f" stop it, or set {setting} to another port."
            ) from None


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr[1:2] == (port,):
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return "another process"
