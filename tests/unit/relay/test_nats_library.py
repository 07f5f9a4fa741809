"""The parts of nats-py that it does not promise, and that we rely on."""

import inspect

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser


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
