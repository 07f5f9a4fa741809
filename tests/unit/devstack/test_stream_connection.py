"""A URL of NATS that cannot be right is one more reason why nobody answers, in words."""

import pytest

from devstack.cli.stream.connection import NATS_ERRORS, connected


@pytest.mark.parametrize("url", ["", "x", "http://a", "nats://a:4222,b"])
async def test_a_url_that_cannot_be_right_is_told(url: str) -> None:
    with pytest.raises(NATS_ERRORS, match=r"^its URL must be nats://host:port"):
        async with connected(url):
            pass
