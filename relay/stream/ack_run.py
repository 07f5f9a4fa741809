"""Recognises awaited acks in the arriving bytes by comparing bytes, without parsing.

Normally the server's next bytes are known: an ack for each message, in the order of sending, with the predicted
sequence. So these bytes are built and compared in one step. Anything that differs (an error, a duplicate, another
sequence, another server's format) goes to the parser.
"""

from __future__ import annotations

#: A server writes an ack with or without a blank, depending on the code that wrote it.
_BODIES = (b'{"stream":"%b","seq":%%d}', b'{"stream":"%b", "seq":%%d}')


class AckRun:
    """Counts the acks of `stream` at the start of the bytes that arrive on subscription `sid`.

    `inbox` is the prefix of the acks' subject, with the trailing dot.
    """

    def __init__(self, inbox: bytes, sid: int, stream: str) -> None:
        self._start = b"MSG %b" % inbox
        self._shapes = [_Shape(inbox, sid, body % stream.encode()) for body in _BODIES]

    def count(self, data: bytes, first: int, most: int) -> tuple[int, int]:
        """Returns how many awaited acks `data` begins with, and their length in bytes.

        The acks for `first`, `first` + 1, … are awaited, at most `most`. It may count too few, but never too many.
        """
        for shape in self._shapes:
            found = shape.count(data, first, most)
            if found[0]:
                return found
        return 0, 0

    def incomplete(self, data: bytes) -> bool:
        """Returns whether `data` is an incomplete message to the inbox."""
        return data.count(b"\r\n") < 2 and (data.startswith(self._start) or self._start.startswith(data))


class _Shape:
    """One of the two forms of an ack. `body` is the ack's body with a `%d` for the sequence."""

    def __init__(self, inbox: bytes, sid: int, body: bytes) -> None:
        self._head = b"MSG %b%%d %d " % (inbox, sid)
        self._body = body

    def count(self, data: bytes, first: int, most: int) -> tuple[int, int]:
        # Only acks of one length are counted. Those whose sequence has one digit more belong to the next run.
        digits = len(b"%d" % first)
        one = b"%b%d\r\n%b\r\n" % (self._head, len(self._body) - 2 + digits, self._body)
        length = len(one) - 4 + 2 * digits
        count = min(len(data) // length, most, 10**digits - first)
        if count <= 0 or not data.startswith(one % (first, first)):
            return 0, 0
        numbers = [number for sequence in range(first, first + count) for number in (sequence, sequence)]
        if data.startswith(one * count % tuple(numbers)):
            return count, count * length
        # Rare: something else is between the acks. The first half of them may still be as expected.
        return self.count(data, first, count // 2)
