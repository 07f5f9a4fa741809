"""A real Elasticsearch: one node, core features only, run by a JDK of this machine."""

import contextlib
import signal
from pathlib import Path

from devstack.servers.child import Child
from devstack.servers.http_probe import get_json
from devstack.servers.jdk import Jdk, find_jdk
from devstack.servers.local_server import LocalServer
from devstack.servers.maven import VERSION, elasticsearch_zip
from devstack.servers.place import owned
from devstack.servers.ports import HOST
from devstack.servers.progress import Listener
from devstack.servers.software import unpacked

_NAME = f"elasticsearch-{VERSION}"
_MEBIBYTE = 1 << 20


class ElasticsearchServer(LocalServer):
    """Elasticsearch on loopback HTTP without security; heap fixed at `heap_mb` mebibytes.

    `java_options` go to the server's JVM as they are.
    """

    name = "elasticsearch"
    title = "Elasticsearch"
    start_within = 180.0
    stop_within = 30.0
    death_signal = signal.SIGTERM

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        port_setting: str = "",
        heap_mb: int = 512,
        java_options: str = "",
        cache: Path | None = None,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(directory, port=port, port_setting=port_setting, cache=cache, listener=listener)
        self._heap_mb = heap_mb
        self._java_options = java_options
        self._archive = Path()
        self._software = Path()
        self._jdk: Jdk | None = None

    @property
    def url(self) -> str:
        """Where clients connect. `GET /` answers 405 in this distribution: ask `_cluster/health` instead."""
        return f"http://{HOST}:{self.port}"

    async def _download(self) -> None:
        with self._clock.phase("download") as advance:
            self._archive = await elasticsearch_zip(
                self._cache, lambda done, total: advance(f"{done // _MEBIBYTE} of {total // _MEBIBYTE} MB")
            )

    async def _install(self) -> None:
        self._jdk = await find_jdk(self.account)
        self._software = await unpacked(self._archive, name=_NAME, cache=self._cache, account=self.account)

    def _command(self) -> list[str | Path]:
        configuration, logs, data, _ = (
            owned(self.home / name, self.account) for name in ("config", "logs", "data", "tmp")
        )
        owned(configuration / "jvm.options.d", self.account)
        settings = {
            "cluster.name": "tandem",
            "node.name": "tandem",
            "path.data": str(data),
            "path.logs": str(logs),
            "discovery.type": "single-node",
            "http.host": HOST,
            "http.port": str(self.port),
            "transport.host": HOST,
            "transport.port": "0",
            "xpack.security.enabled": "false",
            # a full disk of a developer's machine must not turn every index read-only
            "cluster.routing.allocation.disk.threshold_enabled": "false",
        }
        (configuration / "elasticsearch.yml").write_text("".join(f'{k}: "{v}"\n' for k, v in settings.items()))
        for name in ("jvm.options", "log4j2.properties"):
            text = (self._software / "config" / name).read_text()
            kept = (line for line in text.splitlines() if not line.startswith(("-Xlog:gc", "-XX:+HeapDump")))
            (configuration / name).write_text("\n".join(kept) + "\n")
        self._pid_file.unlink(missing_ok=True)
        return [self._software / "bin" / "elasticsearch", "-p", self._pid_file]

    def _environment(self) -> dict[str, str]:
        assert self._jdk is not None
        return {
            "ES_JAVA_HOME": str(self._jdk.home),
            "ES_PATH_CONF": str(self.home / "config"),
            "ES_TMPDIR": str(self.home / "tmp"),
            "CLI_JAVA_OPTS": f"-Djava.io.tmpdir={self.home / 'tmp'}",  # for the launcher, which leaves files there
            "ES_JAVA_OPTS": f"-Xms{self._heap_mb}m -Xmx{self._heap_mb}m {self._java_options}",
        }

    async def _ready(self) -> bool:
        health = await get_json(self.port, "/_cluster/health?wait_for_status=yellow&timeout=1s", timeout=5.0)
        if health is None or health.get("status") not in {"yellow", "green"} or not self._point_at_server(self._child):
            return False
        self.version = VERSION
        return True

    def _point_at_server(self, child: Child | None) -> bool:
        """Points signals at the JVM that the pid file names; the process that we started is only its launcher."""
        with contextlib.suppress(OSError, ValueError):
            if child is not None:
                child.pid = int(self._pid_file.read_text())
                return True
        return False

    @property
    def _pid_file(self) -> Path:
        return self.home / "elasticsearch.pid"
