"""Wrong settings are named by their variable, and every default works."""

import pytest

from relay.config import RelaySettings
from relay.events.columns import OPTIONAL_ROLES, REQUIRED_ROLES
from service_runtime.config import load_settings, settings_table
from service_runtime.process import StartupRefused

NEEDED = {"RELAY_DATABASE_URL": "postgresql://u@h:5432/d", "RELAY_NATS_URL": "nats://h:4222"}


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> RelaySettings:
    for name, value in (NEEDED | environment).items():
        monkeypatch.setenv(name, value)
    return load_settings(RelaySettings)


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch)
    assert found.stream == "ORDERS"
    assert found.stream_replicas == 1
    assert settings(monkeypatch, RELAY_STREAM_REPLICAS="5").stream_replicas == 5
    assert found.columns.optional == frozenset(OPTIONAL_ROLES)
    assert all(found.columns.names[role] == role for role in REQUIRED_ROLES)
    assert all(description for _, _, description in settings_table(RelaySettings))


def test_a_column_that_is_named_must_exist_and_one_named_empty_must_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch, RELAY_COLUMN_PERSONAL="pii", RELAY_COLUMN_HASH="")
    assert found.columns.names["personal"] == "pii"
    assert "hash" not in found.columns.names
    assert {"personal", "hash"}.isdisjoint(found.columns.optional)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RELAY_DATABASE_URL", "mysql://h/d"),
        ("RELAY_DATABASE_URL", "postgresql:///d?host=/tmp"),
        ("RELAY_MODE", "both"),
        ("RELAY_PUBLISH", "both"),
        ("RELAY_SUBJECT_TEMPLATE", "a.{customer}"),
        ("RELAY_SUBJECT_TEMPLATE", "{partition}"),
        ("RELAY_BARRIER_SUBJECT", "orders.v1.1.x"),
        ("RELAY_NATS_URL", "nonsense"),
        ("RELAY_NATS_URL", "nats://a:4222,http://b"),
        ("RELAY_BARRIER_SUBJECT", "a.*"),
        ("RELAY_BARRIER_SUBJECT", "a.{partition}"),
        ("RELAY_EVENT_SOURCE", "/x/{table}"),
        ("RELAY_EVENT_SOURCE", "a\r\nb"),
        ("RELAY_PROBES_LISTEN", "9052"),
        ("RELAY_WINDOW_EVENTS", "0"),
        ("RELAY_ACK_TIMEOUT_SECONDS", "-1"),
        ("RELAY_STREAM_REPLICAS", "0"),
        ("RELAY_STREAM_REPLICAS", "2"),
        ("RELAY_STREAM_REPLICAS", "7"),
        ("RELAY_STREAM_REPLICAS", "three"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(StartupRefused, match=f"^{name}: "):
        settings(monkeypatch, **{name: value})


def test_missing_settings_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StartupRefused) as refusal:
        load_settings(RelaySettings)
    assert str(refusal.value).splitlines() == ["RELAY_DATABASE_URL is not set", "RELAY_NATS_URL is not set"]
