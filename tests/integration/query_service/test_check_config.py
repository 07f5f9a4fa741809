"""What a process says of its settings at start, and with which exit code it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

RIGHT = {"QUERY_NATS_URL": "nats://127.0.0.1:4222", "QUERY_ELASTICSEARCH_URL": "http://127.0.0.1:9200"}


def query_service(command: str, changes: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The ended process, which had these settings and no others of its service."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("QUERY_")}
    return subprocess.run(
        [sys.executable, "-m", "query_service", command],
        env={**others, **RIGHT, **changes},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("changes", "code", "output", "complaint"),
    [
        ({}, 0, "the settings of query_service are right\n", ""),
        ({"QUERY_LISTEN": "nowhere"}, 2, "", "QUERY_LISTEN: must be HOST:PORT"),
        (
            {"QUERY_NATS_URL": "nats://a:4222,nats://b:x"},
            2,
            "",
            "QUERY_NATS_URL: must be nats://host:port or tls://host:port, several separated by commas\n",
        ),
    ],
    ids=["right", "address", "several addresses"],
)
def test_check_config_touches_nothing_and_says_it(
    changes: Mapping[str, str], code: int, output: str, complaint: str
) -> None:
    done = query_service("check-config", changes)
    assert (done.returncode, done.stdout) == (code, output)
    assert done.stderr.startswith(complaint)
    assert len(done.stderr.splitlines()) == (code != 0)


def test_nobody_else_could_read_a_projected_memory() -> None:
    done = query_service("project", {"QUERY_READ_STORE": "memory"})
    assert done.returncode == 2
    assert json.loads(done.stderr)["reason"].startswith("QUERY_READ_STORE=memory: `serve` projects into its own memory")
