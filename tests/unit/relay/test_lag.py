"""The lag as it was measured, told later."""

from relay.lag.observer import Lag
from relay.wal.slot_watch import LogUse


def test_the_age_grows_while_nobody_measures() -> None:
    lag = Lag(1, False, 1_000_000_000, 0.5, None, 0, 0.0, 0.0, LogUse(None, None))
    assert lag.oldest_age(1000.5) == 1.0
    assert lag.oldest_age(1003.5) == 4.0
    assert Lag(0, False, None, 0.0, None, 0, 0.0, 0.0, LogUse(None, None)).oldest_age(5.0) == 0.0
