"""Finds free ports on loopback, and explains a busy one in one sentence."""

import asyncio
import errno
import random
import socket

import psutil

from devstack.servers.errors import PortBusy
from service_runtime.free_address import PATIENCE_SECONDS, until_free

HOST = "127.0.0.1"
#: Local ends that are in the way of who wants to listen on HOST.
_OURS = {(HOST,), (f"::ffff:{HOST}",)}


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


async def require_free(port: int, server: str, setting: str, patience: float = PATIENCE_SECONDS) -> None:
    """Returns when `server` can listen on `port`.

    A port that nobody listens on, but that is the own end of somebody's connection, is waited for `patience` seconds.
    Raises PortBusy naming the port, who holds it and the setting that moves `server` elsewhere.
    """
    if not await until_free(HOST, port, patience):
        holder = await asyncio.to_thread(_holder, port)
        raise PortBusy(f"{server} cannot listen on port {port}: {holder}, or set {setting} to another port.")


def _holder(port: int) -> str:
    """Who holds the port, how, and what to do about it."""
    try:
        held = [each for each in psutil.net_connections("tcp") if each.laddr[1:2] == (port,)]
    except psutil.Error:
        held = []
    # Whoever listens comes first; connections of other addresses of this machine are in nobody's way.
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
