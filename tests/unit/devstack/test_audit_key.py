"""`tandem audit key` makes keys and shows those of the local stack, never the secret half."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.notes.key_files import ensure_signing_key, read_signing_key
from audit.notes.keys import Kind
from devstack.cli.running import run


def test_a_new_key_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "log.key"
    assert run(["audit", "key", "--new", str(file), "--name", "example.com/log"]) == 0
    key = read_signing_key(file, Kind.NOTE)
    assert capsys.readouterr().out == f"made     {key.verification.text}\n"
    assert run(["audit", "key", "--new", str(file), "--name", "example.com/log"]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert run(["audit", "key", "--new", str(tmp_path / "other"), "--name", "a b"]) == 2
    assert run(["audit", "key", "--new", str(tmp_path / "w"), "--name", "w", "--witness", "--json"]) == 0
    assert read_signing_key(tmp_path / "w", Kind.COSIGNATURE).name == "w"


def test_the_keys_of_the_local_stack_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TANDEM_DIR", str(tmp_path))
    assert run(["audit", "key"]) == 1
    log = ensure_signing_key(tmp_path / "audit" / "log.key", "l", Kind.NOTE).verification.text
    witness = ensure_signing_key(tmp_path / "audit" / "witness" / "key", "w", Kind.COSIGNATURE).verification.text
    capsys.readouterr()
    assert run(["audit", "key", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"log": log, "witness": witness}
