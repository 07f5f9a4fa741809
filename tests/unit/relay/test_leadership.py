"""The key of the lock that one relay of a table and a stream holds."""

from relay.outbox.leadership import lock_key


def test_lock_keys_fit_two_integers_and_differ() -> None:
    keys = {lock_key(table, stream) for table in ("outbox", "shop.events") for stream in ("A", "B")}
    assert len(keys) == 4
    assert all(-(2**31) <= half < 2**31 for key in keys for half in key)
