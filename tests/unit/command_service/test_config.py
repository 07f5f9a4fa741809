"""Settings: each wrong one is named, the database's password is never shown."""

from __future__ import annotations

import pytest

from command_service.config import CommandSettings
from service_runtime.config import load_settings, settings_table
from service_runtime.process import StartupRefused

URL = "postgresql://orders:secret@localhost/orders"


def test_the_database_is_all_that_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMAND_DATABASE_URL", URL)
    settings = load_settings(CommandSettings)
    assert settings.database_url.get_secret_value() == URL
    assert "secret" not in repr(settings)


WRONG = {
    "COMMAND_DATABASE_URL": "mysql://localhost/orders",
    "COMMAND_LISTEN": "50051",
    "COMMAND_PROBES_LISTEN": "localhost:http",
    "COMMAND_POOL_SIZE": "0",
    "COMMAND_MAX_CONCURRENT_RPCS": "many",
    "COMMAND_MAX_CONNECTIONS": "0",
    "COMMAND_MAX_CONNECTION_AGE_SECONDS": "0",
    "COMMAND_MAX_IMPORT_STREAMS": "0",
    "COMMAND_MAX_MESSAGE_BYTES": "12",
    "COMMAND_MAX_EVENT_BYTES": "-1",
    "COMMAND_DEADLINE_CAP_SECONDS": "0",
    "COMMAND_SHUTDOWN_GRACE_SECONDS": "0",
    "COMMAND_REPLAY_RETENTION_HOURS": "23.9",
    "COMMAND_EXPORT_LISTEN": "50053",
    "COMMAND_EXPORT_POOL_SIZE": "0",
    "COMMAND_EXPORT_MAX_CALLS": "0",
    "COMMAND_EXPORT_ORDERS_PER_SECOND": "-1",
    "COMMAND_EXPORT_DEADLINE_SECONDS": "0",
    "COMMAND_REFLECTION": "perhaps",
    "COMMAND_LOG_LEVEL": "LOUD",
    "COMMAND_LOG_SQL": "2",
}


@pytest.mark.parametrize(("name", "value"), WRONG.items(), ids=WRONG)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("COMMAND_DATABASE_URL", URL)
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupRefused) as refused:
        load_settings(CommandSettings)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{name}: ")


def test_every_setting_is_tested_and_described(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = settings_table(CommandSettings)
    assert {name for name, _, _ in rows} == set(WRONG)
    assert all(description for _, _, description in rows)


def test_a_missing_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMMAND_DATABASE_URL", raising=False)
    with pytest.raises(StartupRefused, match="COMMAND_DATABASE_URL is not set"):
        load_settings(CommandSettings)
