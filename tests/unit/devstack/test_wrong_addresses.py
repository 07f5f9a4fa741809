"""An address that nobody could reach is wrong usage, told by its variable or option in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from structlog.testing import capture_logs

from devstack.cli.running import run
from devstack.stack.known_stack import ADDRESS_VARIABLES, check_named_addresses, default_topology
from devstack.stack.topology import DEFAULT_PORTS, Topology

SECRET = "hush-hush"
#: Part of a stack → addresses that are none.
WRONG = {
    "postgres_url": ("junk", f"postgresql://u:{SECRET}@h:port/d", "http://h:5432/d", "postgresql:///d", "host=h"),
    "nats_url": ("junk", f"nats://u:{SECRET}@h:x", "http://h:4222", "nats://h:4222,", "nats://h 4222"),
    "http": ("junk", f"http://u:{SECRET}@h:x", "ftp://h:9200", "http://", "http://a b:9200", "http://h:0"),
    "grpc": ("a b:1", "h:1\x1b[31m"),
    "probes": ("junk", "h:99999", "http://h:9051", "a b:1", "h:1\x1b[31m", "::1:9051"),
}


def kind(field: str) -> str:
    """Which of these a part of a stack is."""
    if field in ("elasticsearch_url", "nats_monitor_url"):
        return "http"
    return field if field in WRONG else "grpc" if field in ("command", "query", "export") else "probes"


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TANDEM_DIR", str(tmp_path))
    # A command sets up the log of its process, and this is the process of other tests too.
    monkeypatch.setattr("service_runtime.log.configure_logging", lambda *_: None)
    for variable in (*ADDRESS_VARIABLES, *DEFAULT_PORTS, "QUERY_ELASTICSEARCH_URL", "QUERY_NATS_URL"):
        monkeypatch.delenv(variable, raising=False)


def only_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said, in its one line."""
    [line] = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert SECRET not in line
    return line


@pytest.mark.parametrize("variable", ADDRESS_VARIABLES)
def test_a_variable_is_told(variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for value in WRONG[kind(ADDRESS_VARIABLES[variable][0])]:
        monkeypatch.setenv(variable, value)
        assert run(["outbox", "tail", "--no-follow"]) == 2, value
        assert variable in only_sentence(capsys), value
        assert run(["status", "--json"]) == 2
        assert json.loads(capsys.readouterr().out)["exit_code"] == 2


@pytest.mark.parametrize("setting", DEFAULT_PORTS)
def test_a_port_that_is_none_is_told(
    setting: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ("junk", "65536", "-1", "²", "5_0", "1.5"):
        monkeypatch.setenv(setting, value)
        assert run(["orders", "get", "x"]) == 2, value
        assert f"{setting} must be a port number" in only_sentence(capsys)


def test_a_password_of_any_letters_is_one_in_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_POSTGRES_PASSWORD", "p@s/s:#50%")
    assert conninfo_to_dict(default_topology().postgres_url)["password"] == "p@s/s:#50%"


def test_addresses_of_a_stack_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    here: Topology = default_topology()
    for variable, (field, _) in ADDRESS_VARIABLES.items():
        monkeypatch.setenv(variable, str(getattr(here, field)))
    check_named_addresses()
    monkeypatch.setenv("TANDEM_COMMAND_ADDRESS", "dns:///command.tandem.svc:50051")
    monkeypatch.setenv("TANDEM_NATS_URL", " tls://u:p@a:4222 , nats://b ")
    check_named_addresses()


def test_the_relays_to_be_watched_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("", *WRONG["probes"]):
        assert run(["relay", "status", "--address", value]) == 2, value
        assert "--address" in only_sentence(capsys), value


def test_settings_of_the_read_side_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUERY_ELASTICSEARCH_URL", "junk")
    for command in (["projection", "parked", "list"], ["rebuild", "status"], ["rebuild", "start", "--wait"]):
        assert run(command) == 2
        said = only_sentence(capsys)
        assert "QUERY_ELASTICSEARCH_URL: must be" in said
        assert "QUERY_NATS_URL is not set" in said


def test_settings_of_a_witness_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("audit.__main__.configure_logging", lambda *_: None)
    monkeypatch.setattr("service_runtime.process._collect_seldom", lambda: None)
    monkeypatch.setenv("AUDIT_WITNESS_DIRECTORY", "")  # the command sets it, and this takes it back
    for setting in ("AUDIT_LOG_KEY", "AUDIT_WITNESS_LISTEN"):
        monkeypatch.delenv(setting, raising=False)
    command = ["audit", "witness", "--dir", str(tmp_path / "witness")]
    with capture_logs() as lines:
        assert run(command) == 2
        monkeypatch.setenv("AUDIT_LOG_KEY", "junk")
        assert run(command) == 2
    missing, wrong = [line["reason"] for line in lines]
    assert missing == "AUDIT_LOG_KEY is not set; the witness needs it"
    assert wrong.endswith("see AUDIT_LOG_KEY")
    monkeypatch.setenv("AUDIT_WITNESS_LISTEN", "junk")
    assert run(command) == 2
    assert only_sentence(capsys).startswith("AUDIT_WITNESS_LISTEN: must be HOST:PORT")
    assert run(command[:2]) == 2
    assert "--dir" in only_sentence(capsys)
