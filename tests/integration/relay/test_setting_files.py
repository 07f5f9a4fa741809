"""Files that settings name: certificates, keys and credentials are read at start, and a wrong one is named."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from relay.config import RelaySettings
from service_runtime.config import load_settings
from service_runtime.process import StartupRefused


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment, with all that a relay needs and no file."""
    monkeypatch.setenv("RELAY_DATABASE_URL", "postgresql://u@h:5432/d")
    monkeypatch.setenv("RELAY_NATS_URL", "nats://h:4222")
    return monkeypatch


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A certificate with its key, another key, one that is encrypted, and what is none of these."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    directory = tmp_path_factory.mktemp("files")
    names = ("certificate", "key", "other", "locked", "text", "missing")
    made = {name: str(directory / name) for name in names}

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    for name in ("key", "other"):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", made[name])
    openssl("ec", "-in", made["other"], "-aes256", "-passout", "pass:x", "-out", made["locked"])
    openssl("req", "-x509", "-new", "-key", made["key"], "-subj", "/CN=x", "-days", "1", "-out", made["certificate"])
    Path(made["text"]).write_text("no certificate\n")
    return made


@pytest.mark.parametrize(
    "chosen",
    [
        {"CA_FILE": "missing"},
        {"CA_FILE": "text"},
        {"CERTIFICATE_FILE": "missing"},
        {"CERTIFICATE_FILE": "text", "KEY_FILE": "key"},
        {"CERTIFICATE_FILE": "certificate"},
        {"CERTIFICATE_FILE": "certificate", "KEY_FILE": "other"},
        {"CERTIFICATE_FILE": "certificate", "KEY_FILE": "locked"},
        {"CERTIFICATE_FILE": "certificate", "KEY_FILE": "missing"},
        {"KEY_FILE": "key"},
        {"CREDENTIALS_FILE": "missing"},
        {"CREDENTIALS_FILE": "text"},
        {"CREDENTIALS_FILE": "key"},
    ],
    ids=lambda chosen: " ".join(f"{name}={file}" for name, file in chosen.items()),
)
def test_a_file_that_cannot_be_used_is_named(
    settings: pytest.MonkeyPatch, files: Mapping[str, str], chosen: Mapping[str, str]
) -> None:
    for name, file in chosen.items():
        settings.setenv(f"RELAY_NATS_{name}", files[file])
    with pytest.raises(StartupRefused, match="RELAY_NATS_" + next(iter(chosen))):
        load_settings(RelaySettings)


def test_files_that_can_be_used_are_taken(
    settings: pytest.MonkeyPatch, files: Mapping[str, str], tmp_path: Path
) -> None:
    credentials = tmp_path / "user.creds"
    credentials.write_text(
        "-----BEGIN NATS USER JWT-----\neyJ0.eyJq.c2ln\n------END NATS USER JWT------\n\n"
        "-----BEGIN USER NKEY SEED-----\nSUAEL6GG2L2HIF7DUGZJGMRUFKXELGGYFMHF76UO2AYBG3K4YLWR3FKC2Q\n"
        "------END USER NKEY SEED------\n"
    )
    for name, file in (("CA_FILE", "certificate"), ("CERTIFICATE_FILE", "certificate"), ("KEY_FILE", "key")):
        settings.setenv(f"RELAY_NATS_{name}", files[file])
    settings.setenv("RELAY_NATS_CREDENTIALS_FILE", str(credentials))
    load_settings(RelaySettings)
