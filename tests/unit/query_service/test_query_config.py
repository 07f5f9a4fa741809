"""The query service's settings: defaults, and one sentence for each wrong or missing one."""

import os

import pytest

from query_service.config import QuerySettings
from service_runtime.config import load_settings
from service_runtime.process import StartupRefused


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("QUERY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QUERY_NATS_URL", "nats://127.0.0.1:4222")
    monkeypatch.setenv("QUERY_ELASTICSEARCH_URL", "http://127.0.0.1:9200")


def test_the_defaults_are_right() -> None:
    settings = load_settings(QuerySettings)
    assert (settings.read_store, settings.stream, settings.consumer) == ("physical", "ORDERS", "orders-projector")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QUERY_READ_STORE", "oracle"),
        ("QUERY_ELASTICSEARCH_URL", "127.0.0.1:9200"),
        ("QUERY_NATS_URL", "http://127.0.0.1"),
        ("QUERY_INDEX_PREFIX", "Orders*"),
        ("QUERY_STREAM", "ORDERS.v1"),
        ("QUERY_LISTEN", "50052"),
        ("QUERY_BULK_EVENTS", "0"),
        ("QUERY_ACK_WAIT_SECONDS", "soon"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StartupRefused, match=variable):
        load_settings(QuerySettings)


@pytest.mark.parametrize("variable", ["QUERY_NATS_URL", "QUERY_ELASTICSEARCH_URL"])
def test_what_must_be_set_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(StartupRefused, match=f"{variable} is not set"):
        load_settings(QuerySettings)


def test_the_store_in_memory_needs_no_elasticsearch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUERY_ELASTICSEARCH_URL")
    monkeypatch.setenv("QUERY_READ_STORE", "memory")
    assert load_settings(QuerySettings).read_store == "memory"


@pytest.mark.parametrize(("concurrency", "room"), [("1", 2 * 100 * 3), ("4", 4 * 100 * 3)])
def test_the_consumer_has_room_for_every_projector(
    monkeypatch: pytest.MonkeyPatch, concurrency: str, room: int
) -> None:
    monkeypatch.setenv("QUERY_BULK_EVENTS", "100")
    monkeypatch.setenv("QUERY_BULK_CONCURRENCY", concurrency)
    monkeypatch.setenv("QUERY_MAX_PROJECTORS", "3")
    assert load_settings(QuerySettings).max_ack_pending == room
