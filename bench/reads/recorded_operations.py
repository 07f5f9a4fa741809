"""Reads recorded `_bulk` requests: which operations write the documents of which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import orjson

#: Stands for the prefix of the indices in the operations.
PREFIX = b'"@'


def operations_by_order(bodies: Iterable[bytes], order_ids: Sequence[str], prefix: str) -> dict[str, bytes]:
    """Returns, by order, the lines of its operations in the order in which they were sent.

    An operation is an order's if the order's id is in its action line. Others, such as a projector's notes on how far
    it has come, are left out. `prefix` is that of the indices; it is replaced by PREFIX. Raises ValueError if an order
    has no operation.
    """
    found: dict[str, bytes] = {}
    for body in bodies:
        for action, lines in _operations(body):
            for order_id in order_ids:
                if order_id.encode() in action:
                    found[order_id] = found.get(order_id, b"") + lines
                    break
    if missing := len(set(order_ids) - set(found)):
        raise ValueError(f"{missing} of {len(order_ids)} orders are not written")
    own = b'"' + prefix.encode()
    return {order_id: lines.replace(own, PREFIX) for order_id, lines in found.items()}


def _operations(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the action line of each operation, and all its lines."""
    lines = iter(body.splitlines())
    for action in lines:
        if "delete" in orjson.loads(action):
            yield action, action + b"\n"
        else:
            yield action, action + b"\n" + next(lines) + b"\n"
