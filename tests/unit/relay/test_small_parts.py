"""Backoff, status, the lock's key, the commit-to-ack histogram, and the library seams we depend on."""

import inspect
import random
import time

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from relay.lag.observer import Lag
from relay.metrics import CommitToAck
from relay.outbox.leadership import lock_key
from relay.publishing import status
from relay.publishing.backoff import LONGEST_SECONDS, Backoff
from relay.publishing.status import RelayStatus
from relay.wal.slot_watch import LogUse


def test_backoff_doubles_to_a_limit_for_ever_and_begins_anew() -> None:
    backoff = Backoff(random.Random(1))
    delays = [backoff.seconds() for _ in range(200)]
    assert 0.025 <= delays[0] <= 0.05
    assert all(0.5 * LONGEST_SECONDS <= one <= LONGEST_SECONDS for one in delays[10:])
    assert len(set(delays[10:])) > 100
    backoff.reset()
    assert backoff.seconds() <= 0.05


def test_a_loop_that_does_not_move_is_not_live_but_an_outage_is() -> None:
    relay = RelayStatus("poll")
    assert relay.live() is None
    relay.state = status.RETRYING
    relay.failed("NATS cannot be reached")
    relay.moved()
    assert relay.live() is None
    assert relay.ready() == "RETRYING: NATS cannot be reached"
    relay.moved(expect_within=-1)
    assert "should have moved" in (relay.live() or "")
    relay.state = status.STANDBY
    assert relay.ready() is None


def test_lock_keys_fit_two_integers_and_differ() -> None:
    keys = {lock_key(table, stream) for table in ("outbox", "shop.events") for stream in ("A", "B")}
    assert len(keys) == 4
    assert all(-(2**31) <= half < 2**31 for key in keys for half in key)


def test_the_age_grows_while_nobody_measures() -> None:
    lag = Lag(1, False, 1_000_000_000, 0.5, None, 0, 0.0, 0.0, LogUse(None, None))
    assert lag.oldest_age(1000.5) == 1.0
    assert lag.oldest_age(1003.5) == 4.0
    assert Lag(0, False, None, 0.0, None, 0, 0.0, 0.0, LogUse(None, None)).oldest_age(5.0) == 0.0


def test_commit_to_ack_counts_each_event_in_its_bucket() -> None:
    histogram = CommitToAck()
    now = time.time()
    histogram.observe([int((now - age) * 1e6) for age in (0.0, 0.03, 3.0, 3.0, 3600.0)], 0.0)
    (family,) = histogram.collect()
    counts = {sample.labels.get("le"): sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert counts["+Inf"] == 5
    assert counts["60.0"] == 4
    assert counts["5.0"] == 4
    assert counts["2.5"] == 2
    total = next(sample.value for sample in family.samples if sample.name.endswith("_sum"))
    assert 3606.03 <= total + 0.001 <= 3606.04 + 5 * (time.time() - now)


def test_commit_to_ack_counts_a_backlog_of_one_age_at_once() -> None:
    histogram = CommitToAck()
    now = time.time()
    histogram.observe([int((now - age) * 1e6) for age in (3.0, 2.6, 3.5)], 0.0)
    (family,) = histogram.collect()
    counts = {sample.labels.get("le"): sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert (counts["2.5"], counts["5.0"], counts["+Inf"]) == (0, 3, 3)
    total = next(sample.value for sample in family.samples if sample.name.endswith("_sum"))
    assert 9.1 <= total + 0.001 <= 9.11 + 3 * (time.time() - now)


def test_the_seams_of_nats_py_that_we_reach_into() -> None:
    """Where a release of the library changes these, `relay/stream/nats_connection.py` has to follow."""
    assert list(inspect.signature(Client._process_msg).parameters) == [
        "self",
        "sid",
        "subject",
        "reply",
        "data",
        "headers",
    ]
    assert inspect.iscoroutinefunction(Client._process_msg)
    assert "self._ps.parse(" in inspect.getsource(Client._read_loop)
    assert vars(Parser()).keys() >= {"buf", "state"}
    assert "_transport" in inspect.getsource(Client._flusher)
    assert "_io_writer" in inspect.getsource(TcpTransport)
    assert "self._id" in inspect.getsource(Subscription.__init__)
    assert list(inspect.signature(TcpTransport.write).parameters) == ["self", "payload"]
