"""A store and a projector of another release; the projector is `python -m tests.support.queries.other_release project`.

Its mapping of orders has one more field, and its encoded orders have another print. So its print is another one.
"""

from __future__ import annotations

import sys

import pytest

from query_service.__main__ import main
from query_service.storage.memory import MemoryStore
from query_service.storage.physical import kept_orders
from query_service.storage.physical.generations import mappings


def become_another_release(patch: pytest.MonkeyPatch) -> None:
    """Adds a field to the mapping of orders, and changes the print of encoded orders, until the patch is undone."""
    patch.setitem(mappings.ORDERS["properties"], "added_later", {"type": "keyword"})
    for module in (mappings, kept_orders):
        patch.setattr(module, "PRINT", b"next")


class OtherReleasesToo(MemoryStore):
    """A store to which another release wrote too."""

    async def has_own_content(self) -> bool:
        """See OrderReader."""
        return False


if __name__ == "__main__":
    become_another_release(pytest.MonkeyPatch())
    sys.exit(main(sys.argv[1:]))
