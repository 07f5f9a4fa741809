"""A store and a projector of another release; the projector is `python -m tests.support.queries.other_release project`.

Its mapping of orders has one more field, and its page parts are of the next edition. So its print is another one.
"""

from __future__ import annotations

import sys

import pytest

from query_service.__main__ import main
from query_service.storage.memory import MemoryStore
from query_service.storage.physical.generations import mappings
from query_service.wire import page_part


def become_another_release(patch: pytest.MonkeyPatch) -> None:
    """Adds a field to the mapping of orders, and counts the edition of page parts up, until the patch is undone."""
    patch.setitem(mappings.ORDERS["properties"], "added_later", {"type": "keyword"})
    edition = page_part.EDITION + 1
    for module in (mappings, page_part):
        patch.setattr(module, "EDITION", edition)


class OtherReleasesToo(MemoryStore):
    """A store to which another release wrote too."""

    async def has_own_content(self) -> bool:
        """See OrderReader."""
        return False


if __name__ == "__main__":
    become_another_release(pytest.MonkeyPatch())
    sys.exit(main(sys.argv[1:]))
