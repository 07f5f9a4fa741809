"""Two tests in one process: the first configures the log, the second finds it untouched."""

from __future__ import annotations

import logging

import pytest
import structlog
from structlog.testing import capture_logs

from service_runtime.log import configure_logging


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_test_finds_the_log_as_if_no_other_had_configured_it(turn: str) -> None:
    assert not structlog.is_configured()
    assert not logging.getLogger("psycopg.pool").filters
    with capture_logs() as lines:
        structlog.get_logger().info("turn", which=turn)
    assert [line["which"] for line in lines] == [turn]
    configure_logging("tests", "ERROR")
