"""Recognises awaited acks in the arriving bytes: good ones in a row are compared, not parsed.

Normally the server's next bytes are known: an ack for each message, in the order of sending, with the predicted
sequence. So these bytes are built once and compared at once. Anything that differs (an error, a duplicate, another
sequence, another server's format) goes to the parser.
"""

from __future__ import annotations

#: Servers write an ack with or without a blank, depending on how they came to it.
_BODIES = (b'{"stream":"%b","seq":%%d}', b'{"stream":"%b", "seq":%%d}')


class AckRun:
    """Acks of `stream` that arrive on subscription `sid`; `inbox` is the subject's prefix, with the trailing dot."""

    def __init__(self, inbox: bytes, sid: int, stream: str) -> None:
        self._start = b"MSG %b" % inbox
        self._shapes = [_Shape(inbox, sid, body % stream.encode()) for body in _BODIES]

    def count(self, data: bytes, first: int, most: int) -> tuple[int, int]:
        """Returns how many of the awaited acks `data` begins with, and their bytes.

        Awaited are the acks for `first`, `first` + 1, …, at most `most`. It may count too few, never too many.
        """
        for shape in self._shapes:
            found = shape.count(data, first, most)
            if found[0]:
                return found
        return 0, 0

    def incomplete(self, data: bytes) -> bool:
        """Whether `data` is only the beginning of a message to the inbox."""
        return data.count(b"\r\n") < 2 and (data.startswith(self._start) or self._start.startswith(data))


class _Shape:
    """One way to write an ack. `body` has a `%d` for the sequence."""

    def __init__(self, inbox: bytes, sid: int, body: bytes) -> None:
        self._head = b"MSG %b%%d %d " % (inbox, sid)
        self._body = body

    def count(self, data: bytes, first: int, most: int) -> tuple[int, int]:
        # Acks of one length only: the numbers of the next run have a digit more.
        digits = len(b"%d" % first)
        one = b"%b%d\r\n%b\r\n" % (self._head, len(self._body) - 2 + digits, self._body)
        length = len(one) - 4 + 2 * digits
        count = min(len(data) // length, most, 10**digits - first)
        if count <= 0 or not data.startswith(one % (first, first)):
            return 0, 0
        numbers = [number for sequence in range(first, first + count) for number in (sequence, sequence)]
        if data.startswith(one * count % tuple(numbers)):
            return count, count * length
        # Rare: something else stands among them. Half as many may still be as expected.
        return self.count(data, first, count // 2)
