"""Recognises plain acks in the arriving bytes, without the library's parser.

Nearly all that arrives on the ack inbox is a plain ack: the message is stored at a sequence, and nothing else. Anything
that differs (an error, a duplicate, the ack of a batch, another server's format) goes to the parser.
"""

from __future__ import annotations

import re


class PlainAcks:
    """Takes the acks of `stream` from the start of the bytes that arrive on subscription `sid`.

    `inbox` is the prefix of the acks' subject, with the trailing dot.
    """

    def __init__(self, inbox: bytes, sid: int, stream: str) -> None:
        self._start = b"MSG %b" % inbox
        # A server writes an ack with or without a blank, depending on the code that wrote it.
        head, name = re.escape(self._start), re.escape(stream.encode())
        self._ack = re.compile(
            rb'%b(\d{1,20}) %d \d+\r\n\{"stream":"%b", ?"seq":(\d{1,20})\}\r\n' % (head, sid, name)
        ).match

    def taken(self, data: bytes) -> tuple[list[tuple[int, int]], bytes]:
        """Returns the plain acks that `data` begins with, as (number in the subject, sequence), and the other bytes."""
        acks: list[tuple[int, int]] = []
        at = 0
        while (found := self._ack(data, at)) is not None:
            acks.append((int(found[1]), int(found[2])))
            at = found.end()
        return acks, data[at:] if at else data

    def incomplete(self, data: bytes) -> bool:
        """Returns whether `data` is an incomplete message to the inbox."""
        return data.count(b"\r\n") < 2 and (data.startswith(self._start) or self._start.startswith(data))
