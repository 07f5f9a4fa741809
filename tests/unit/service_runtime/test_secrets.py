"""Secrets come from files: mounted by name, never printed, weaker than the environment."""

from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service_runtime.config import ServiceSettings, load_settings
from service_runtime.process import StartupRefused


class ThingSettings(ServiceSettings):
    """Settings with one secret and one number."""

    model_config = SettingsConfigDict(env_prefix="THING_", frozen=True, extra="ignore", hide_input_in_errors=True)
    database_url: str = Field(description="a secret")
    size: int = Field(3, description="a number")


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TANDEM_SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("THING_DATABASE_URL", raising=False)
    return tmp_path


def test_a_mounted_file_is_read_under_the_name_of_its_variable(secrets: Path) -> None:
    (secrets / "thing_database_url").write_text("postgresql://secret@db/orders\n")
    assert load_settings(ThingSettings).database_url == "postgresql://secret@db/orders"


def test_the_environment_wins_over_the_file(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "thing_database_url").write_text("from the file")
    monkeypatch.setenv("THING_DATABASE_URL", "from the environment")
    assert load_settings(ThingSettings).database_url == "from the environment"


def test_a_wrong_value_in_a_file_is_named_and_not_shown(secrets: Path) -> None:
    (secrets / "thing_database_url").write_text("x")
    (secrets / "thing_size").write_text("hunter2")
    with pytest.raises(StartupRefused) as refusal:
        load_settings(ThingSettings)
    assert "THING_SIZE" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_without_file_and_variable_the_variable_is_named(secrets: Path) -> None:
    with pytest.raises(StartupRefused, match="THING_DATABASE_URL is not set"):
        load_settings(ThingSettings)


def test_a_named_directory_that_is_missing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(StartupRefused, match="TANDEM_SECRETS_DIR"):
        load_settings(ThingSettings)
