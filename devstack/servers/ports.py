"""Finds free ports on loopback, and explains a busy one in one sentence."""

import asyncio
import errno
import random
import socket

import psutil

from devstack.servers.errors import PortBusy
from service_runtime.free_address import PATIENCE_SECONDS, until_free

HOST = "127.0.0.1"
#: Local addresses of sockets that prevent listening on HOST.
_OURS = {(HOST,), (f"::ffff:{HOST}",)}


#: Below the ports of outgoing connections, one of which could take a port before its server does.
_FREE = range(15_000, 32_000)
#: What this process was given: it may not listen there yet.
_given: set[int] = set()


def free_port() -> int:
    """Returns a free TCP port of loopback that this function has not returned before in this process."""
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


async def require_free(port: int, server: str, setting: str, patience: float = PATIENCE_SECONDS) -> None:
    """Returns when `server` can listen on `port`.

    Waits up to `patience` seconds for a port that only a connection uses as its local end. Raises PortBusy, which names
    the port, the process that uses it, and the setting that gives `server` another port.
    """
    if not await until_free(HOST, port, patience):
        holder = await asyncio.to_thread(_holder, port)
        raise PortBusy(f"{server} cannot listen on port {port}: {holder}, or set {setting} to another port.")


def _holder(port: int) -> str:
    """Says which process uses the port, how, and what to do."""
    try:
        held = [each for each in psutil.net_connections("tcp") if each.laddr[1:2] == (port,)]
    except psutil.Error:
        held = []
    # Listeners come first. Connections from this machine's other addresses do not matter.
    held.sort(key=lambda each: each.status != psutil.CONN_LISTEN)
    for each in held:
        if each.status == psutil.CONN_LISTEN:
            return f"{_process(each.pid)} already does; stop it"
        if each.laddr[:1] not in _OURS:
            continue
        far = ":".join(map(str, each.raddr))
        if each.status == psutil.CONN_TIME_WAIT:
            return f"it is the own end of a past connection to {far}, forgotten within a minute; wait for that"
        return f"{_process(each.pid)} has it as its own end of a connection to {far}; end that"
    return "another process holds it; stop that"


def _process(pid: int | None) -> str:
    if pid is None:
        return "another process"
    try:
        return f"process {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"process {pid}"
