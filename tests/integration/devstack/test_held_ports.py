"""Ports that nobody listens on and that are taken all the same: the local ends of connections. They are waited for."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry

from devstack.servers import PortBusy
from devstack.servers.ports import HOST, require_free
from devstack.stack.topology import DEFAULT_PORTS, require_free_services
from service_runtime import free_address
from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer
from service_runtime.free_address import until_free
from service_runtime.probes import ProbeServer
from service_runtime.process import StartupRefused
from tests.support.waiting import eventually


class Connection:
    """A connection of this process to itself whose own end is on `port`."""

    def __init__(self) -> None:
        self._listener, self._near = socket.create_server((HOST, 0)), socket.socket()
        self._near.bind((HOST, 0))
        self._near.connect(self._listener.getsockname())
        self._far, _ = self._listener.accept()
        self.port: int = self._near.getsockname()[1]
        self.far_port: int = self._listener.getsockname()[1]

    def end(self, *, near_first: bool = False) -> None:
        """The near end first: the system keeps its port for a minute."""
        first, second = (self._near, self._far) if near_first else (self._far, self._near)
        for each in (first, second):
            each.close()
        self._listener.close()


@contextmanager
def connected() -> Iterator[Connection]:
    """A connection, gone at the end of the block."""
    connection = Connection()
    try:
        yield connection
    finally:
        connection.end()


async def starts_once_it_is_gone(start: Callable[[int], Awaitable[object]], monkeypatch: pytest.MonkeyPatch) -> None:
    """`start` is given a port that is held, and is through when it is held no more."""
    looks, look = [0], free_address._is_taken

    def counted(host: str, port: int) -> bool:
        looks[0] += 1
        return look(host, port)

    monkeypatch.setattr(free_address, "_is_taken", counted)
    with connected() as connection:
        starting = asyncio.ensure_future(start(connection.port))
        await eventually(lambda: looks[0] >= 3 or starting.done(), "it looks again and again")
        connection.end()
        await starting


async def start_grpc(port: int) -> None:
    server = GrpcServer(f"{HOST}:{port}", GrpcLimits(), services=[], reflect=False)
    assert await server.start() == f"{HOST}:{port}"
    await server.stop()


async def start_probes(port: int) -> None:
    probes = ProbeServer(f"{HOST}:{port}", live=lambda: None, ready=lambda: None, registry=CollectorRegistry())
    assert await probes.start() == f"{HOST}:{port}"
    await probes.stop()


async def require(port: int) -> None:
    await require_free(port, "it", "IT_PORT")


STARTS = pytest.mark.parametrize("start", [start_grpc, start_probes, require])


@STARTS
async def test_who_starts_waits_for_a_connection_to_pass(
    start: Callable[[int], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await starts_once_it_is_gone(start, monkeypatch)


@pytest.mark.mutant
@STARTS
async def test_mutant_that_does_not_wait_is_noticed(
    start: Callable[[int], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(host: str, port: int, patience: float = 0) -> bool:
        return await until_free(host, port, 0)

    for module in ("service_runtime.edge.grpc_server", "service_runtime.probes", "devstack.servers.ports"):
        monkeypatch.setattr(f"{module}.until_free", at_once)
    with pytest.raises((StartupRefused, PortBusy)):
        await starts_once_it_is_gone(start, monkeypatch)


async def test_every_port_of_the_local_stack_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in DEFAULT_PORTS:
        monkeypatch.setenv(setting, "0")
    await require_free_services()
    for setting in ("TANDEM_COMMAND_PORT", "TANDEM_QUERY_PORT", "TANDEM_PROJECT_PROBES_PORT"):
        with socket.create_server((HOST, 0)) as listener:
            monkeypatch.setenv(setting, str(listener.getsockname()[1]))
            with pytest.raises(PortBusy, match=f"set {setting} to another port"):
                await require_free_services()
        monkeypatch.setenv(setting, "0")


async def test_one_that_is_listened_on_is_not_waited_for() -> None:
    with socket.create_server((HOST, 0)) as listener:
        assert not await until_free(HOST, listener.getsockname()[1], patience=3_600)


@pytest.mark.parametrize("address", [(HOST, 0), ("192.0.2.1", 50_051)])
async def test_what_fails_in_another_way_is_left_to_who_listens(address: tuple[str, int]) -> None:
    assert await until_free(*address, patience=3_600)


async def test_it_is_said_who_holds_it() -> None:
    with connected() as connection:
        with pytest.raises(PortBusy) as refused:
            await require_free(connection.port, "command", "TANDEM_COMMAND_PORT", patience=0)
        assert str(refused.value).startswith(
            f"command cannot listen on port {connection.port}: process {os.getpid()} ("
        )
        assert f"own end of a connection to {HOST}:{connection.far_port}; end that, or set TANDEM_COMMAND_PORT" in str(
            refused.value
        )
        connection.end(near_first=True)
        with pytest.raises(PortBusy, match="forgotten within a minute"):
            await require_free(connection.port, "command", "TANDEM_COMMAND_PORT", patience=0)
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        with pytest.raises(PortBusy, match="another process holds it"):
            await require_free(bound.getsockname()[1], "command", "TANDEM_COMMAND_PORT", patience=0)
