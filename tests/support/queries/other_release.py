"""A projector of another release: `python -m tests.support.queries.other_release project`.

Its mapping of orders has one more field, so its print is another one.
"""

from __future__ import annotations

import sys

from query_service.__main__ import main
from query_service.storage.physical import mappings


def with_another_mapping() -> None:
    """Adds a field to the mapping of orders."""
    mappings.ORDERS["properties"]["added_later"] = {"type": "keyword"}


if __name__ == "__main__":
    with_another_mapping()
    sys.exit(main(sys.argv[1:]))
