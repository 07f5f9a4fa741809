"""Addresses and URLs in settings: what `check-config` praises, the code that uses it can use."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

import pytest
from elasticsearch import AsyncElasticsearch
from nats.aio.client import Client
from psycopg import conninfo

from command_service.config import CommandSettings
from query_service.config import QuerySettings
from relay.config import RelaySettings
from service_runtime.config import ServiceSettings, host_and_port, load_settings
from service_runtime.nats_servers import nats_login, nats_servers
from service_runtime.process import StartupRefused

DATABASE, NATS = "postgresql://u@h:5432/d", "nats://h:4222"
SERVICES: Mapping[str, tuple[type[ServiceSettings], Mapping[str, str]]] = {
    "COMMAND": (CommandSettings, {"COMMAND_DATABASE_URL": DATABASE}),
    "RELAY": (RelaySettings, {"RELAY_DATABASE_URL": DATABASE, "RELAY_NATS_URL": NATS}),
    "QUERY": (QuerySettings, {"QUERY_NATS_URL": NATS, "QUERY_ELASTICSEARCH_URL": "http://h:9200"}),
}

GOOD_NATS = [
    "nats://a:4222",
    "nats://a",
    "tls://a:4222",
    "ws://a:80",
    "wss://a",
    "nats://a:4222,nats://b:4222,tls://c",
    " nats://a:4222 , nats://b:4222 ",
    "nats://user:pass@a:4222,nats://10.0.0.1:4222",
    "nats://us%40er:p%2Fa%2Css@a:4222,tls://us%40er:p%2Fa%2Css@b:4222",
    "nats://token@a:4222",
    "nats://[::1]:4222",
    "nats://nats-0.nats.default.svc.cluster.local:4222/",
]
BAD_NATS = [
    "",
    "a:4222",
    "http://a:4222",
    "nats://",
    "nats://:4222",
    "nats://a:port",
    "nats://a:0",
    "nats://a:70000",
    "nats://a b:4222",
    "nats://a:4222,",
    ",nats://a:4222",
    "nats://a:4222,,nats://b:4222",
    "nats://a:4222,b:4222",
    "nats://a:4222;nats://b:4222",
    "nats://a:4222 nats://b:4222",
    "nats://a:4222,ws://b:80",
    "nats://one:x@a:4222,nats://two:x@b:4222",
    "nats://one:x@a:4222,nats://one:y@b:4222",
    "nats://one:x@a:4222,nats://one@b:4222",
    "nats://[::1:4222",
    "nats://a:4222/path",
    "nats://a:4222?tls=1",
    "nats://300.1.1.1:4222",
]
GOOD_POSTGRES = [
    "postgresql://u@h/d",
    "postgres://u:p@h:5432/d",
    "postgresql://u:p%40ss@h:5432/d?sslmode=verify-full",
    "postgresql://u@a,b/d?target_session_attrs=read-write",
    "postgresql://u@a:5432,b:5433/d?target_session_attrs=read-write",
    "postgresql://u@[::1]:5432/d",
    "postgresql://u@/d?host=a&port=5432",
    "postgresql://u@h/d?connect_timeout=3&application_name=x",
]
BAD_POSTGRES = [
    "",
    "mysql://h/d",
    "postgresql+psycopg://u@h/d",
    "host=h dbname=d",
    "postgresql://",
    "postgresql:///d",
    "postgresql:///d?host=/tmp",
    "postgresql://u@a,/d",
    "postgresql://u@h:port/d",
    "postgresql://u@h:0/d",
    "postgresql://u@h:70000/d",
    "postgresql://u@a:1,b:2,c/d?port=1,2",
    "postgresql://u@a,b,c/d?port=1,2",
    "postgresql://u:p%zz@h/d",
    "postgresql://u@[::1/d",
    "postgresql://u@h/d?nosuch=1",
    "postgresql://u@h/d?sslmode=on",
    "postgresql://u@a,b/d?target_session_attrs=rw",
    "postgresql://u@h/d?connect_timeout=soon",
]
GOOD_ELASTICSEARCH = [
    "http://h:9200",
    "https://h",
    "https://h:443",
    "http://user:pass@h:9200",
    "http://[::1]:9200",
    "http://h:9200/below",
]
BAD_ELASTICSEARCH = [
    "h:9200",
    "ftp://h:9200",
    "http://h",
    "http://",
    "http://:9200",
    "http://h:port",
    "http://h:70000",
    "http://[::1",
    "http://a b:9200",
    "http://a:9200,http://b:9200",
    "http://h:9200?x=1",
    "http://h:9200#x",
]
GOOD_LISTEN = ["127.0.0.1:50051", "0.0.0.0:0", "localhost:1", "[::1]:50051", "[::]:50051", "my-host.example:65535"]
BAD_LISTEN = [
    "",
    "50051",
    ":50051",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:http",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1:٥٠",
    " 127.0.0.1:1",
    "127.0.0.1 :1",
    "::1:50051",
    "[::1:50051",
    "[127.0.0.1]:1",
    "1.2.3.4.5:80",
    "999.1.1.1:80",
    "-a:80",
    "http://127.0.0.1:80",
    "a,b:80",
]
LONG = "ü" * 32  # 64 bytes
#: What no clock, no memory and no gRPC could hold.
BAD_NUMBERS = ["inf", "nan", "-1", "99999999999999999999", "many"]
SETTINGS = [
    *[
        (name, BAD_NUMBERS, ["4096", "1000000"])
        for name in ("COMMAND_MAX_MESSAGE_BYTES", "QUERY_MAX_MESSAGE_BYTES", "COMMAND_MAX_CONNECTIONS")
    ],
    *[
        (name, [*BAD_NUMBERS[:3], "many"], ["0.5", "30"])
        for name in (
            "COMMAND_DEADLINE_CAP_SECONDS",
            "COMMAND_SHUTDOWN_GRACE_SECONDS",
            "COMMAND_MAX_CONNECTION_AGE_SECONDS",
            "QUERY_DEADLINE_CAP_SECONDS",
            "QUERY_SHUTDOWN_GRACE_SECONDS",
            "RELAY_ACK_TIMEOUT_SECONDS",
        )
    ],
    (
        "RELAY_STREAM",
        ["", "A B", "a.b", "a*", ">", "a/b", "a\\b", "a\tb", "x" * 256],
        ["ORDERS", "shop-1_x", "Aufträge"],
    ),
    ("RELAY_STREAM_REPLICAS", ["", "0", "2", "-1", "1_0", "three", "7"], ["1", "3", "5"]),
    ("RELAY_STREAM_MAX_AGE_SECONDS", ["59", "99999999999", "soon"], ["60", "31622400"]),
    ("RELAY_STREAM_MAX_BYTES", ["1", "99999999999999999999"], ["1048576", str(1 << 50)]),
    ("RELAY_TABLE", ["", ".", "shop.", ".outbox", LONG], ["outbox", "shop.outbox", 'a"b', LONG[:31]]),
    ("RELAY_SOURCE_TABLE", ["", f"{LONG}.x"], ["shop.source"]),
    ("RELAY_COLUMN_POSITION", ["", LONG], ["id", "the position"]),
    ("RELAY_COLUMN_HASH", [LONG], ["", "digest"]),
    ("RELAY_PUBLICATION", [LONG], ["", "mine"]),
    (
        "RELAY_EVENT_SOURCE",
        ["", "{", "{}", "{other}", "{source_epoch:%Y}", "{source_epoch!r}", "/müller", "a\tb"],
        ["/shop", "/shop/{source_epoch}", "/{{x}}/{source_epoch}/{source_epoch}"],
    ),
    *[(name, BAD_NATS, GOOD_NATS) for name in ("RELAY_NATS_URL", "QUERY_NATS_URL")],
    *[(name, BAD_POSTGRES, GOOD_POSTGRES) for name in ("RELAY_DATABASE_URL", "COMMAND_DATABASE_URL")],
    ("QUERY_ELASTICSEARCH_URL", BAD_ELASTICSEARCH, GOOD_ELASTICSEARCH),
    *[
        (name, BAD_LISTEN, GOOD_LISTEN)
        for name in (
            "COMMAND_LISTEN",
            "COMMAND_PROBES_LISTEN",
            "RELAY_PROBES_LISTEN",
            "QUERY_LISTEN",
            "QUERY_PROBES_LISTEN",
        )
    ],
]


def given(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> ServiceSettings:
    """The service's settings with that value."""
    kind, needed = SERVICES[name.partition("_")[0]]
    for variable, usual in ({**needed, name: value}).items():
        monkeypatch.setenv(variable, usual)
    return load_settings(kind)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, bad, _ in SETTINGS for value in bad])
def test_a_wrong_value_is_named_at_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(StartupRefused, match=rf"^{name}\b") as refusal:
        given(monkeypatch, name, value)
    assert "p%zz" not in str(refusal.value)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, _, good in SETTINGS for value in good])
def test_a_right_value_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    given(monkeypatch, name, value)


@pytest.mark.parametrize(
    ("value", "login"),
    [
        ("nats://a:4222", {}),
        ("nats://@a:4222", {}),
        ("nats://user:pass@a:4222,nats://b", {"user": "user", "password": "pass"}),
        (" nats://b , nats://user:pass@a:4222", {"user": "user", "password": "pass"}),
        ("nats://us%40er:p%2Fa%2Css%3A50%25@a,nats://b", {"user": "us@er", "password": "p/a,ss:50%"}),
        ("tls://user:@a", {"user": "user", "password": ""}),
        ("nats://to%20ken@a", {"token": "to ken"}),
    ],
)
def test_who_comes_is_told_to_every_server(value: str, login: Mapping[str, str]) -> None:
    assert nats_login(value) == login
    assert nats_servers(value)


def test_a_websocket_is_refused_where_nothing_speaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the relay's image."""
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    given(monkeypatch, "RELAY_NATS_URL", NATS)
    with pytest.raises(StartupRefused, match=r"RELAY_NATS_URL: names a WebSocket, .* use nats:// or tls://"):
        given(monkeypatch, "RELAY_NATS_URL", "wss://a:80")


def test_what_is_taken_can_be_used() -> None:
    async def parsed() -> None:
        for value in GOOD_NATS:
            client = Client()
            client._setup_server_pool(nats_servers(value))
            assert len(client._server_pool) == value.count("://")
        for value in GOOD_ELASTICSEARCH:
            await AsyncElasticsearch(value).close()

    asyncio.run(parsed())
    for value in GOOD_POSTGRES:
        assert conninfo.conninfo_to_dict(value)["host"]
    for value in GOOD_LISTEN:
        host, port = host_and_port(value)
        assert host
        assert 0 <= port <= 65535
