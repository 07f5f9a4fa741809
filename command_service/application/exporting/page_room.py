"""Counts what a page of an export may still take."""

from __future__ import annotations

#: A page ends before it has more bytes than this, unless its only element is larger. Clients accept 4 MiB by default.
#: A smaller page takes commands less time away while it is encoded.
PAGE_BYTES = 1024 * 1024
#: Bytes that an element needs in addition to its texts.
ELEMENT_BYTES = 400


class PageRoom:
    """The room of one page in bytes. The first element always fits."""

    def __init__(self) -> None:
        self._bytes = 0

    def takes(self, size: int) -> bool:
        """Takes an element of `size` bytes, and returns whether it fits."""
        full = self._bytes + size + ELEMENT_BYTES
        if self._bytes and full > PAGE_BYTES:
            return False
        self._bytes = full
        return True
