"""Writes and reads page tokens: text that says where the next page begins, and to which question it belongs.

A token holds a position in the sorted list, not a number of orders to skip. So the next page begins after the last
order that was returned, whatever arrived or changed before it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from query_service.application.ports.errors import PageTokenMalformed
from query_service.application.ports.order_questions import OrderCriteria, OrderSort

_PREFIX = "p1."
_CHECKSUM_BYTES = 4
_FINGERPRINT_BYTES = 12
#: The criteria, and their values when they are not set.
_CRITERIA = tuple((field.name, field.default) for field in fields(OrderCriteria))
#: Made once, because `json.dumps` makes an encoder for each call with such arguments.
_as_json = json.JSONEncoder(separators=(",", ":")).encode
_sorted_json = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
_NOT_OURS = "the page token is damaged or was not issued by this service; begin again without a page token"


def list_fingerprint(criteria: OrderCriteria, sort: OrderSort) -> str:
    """Returns the fingerprint of a list: criteria and sort, whatever the order of alternatives.

    A criterion that is not set adds nothing.
    """
    given = {name: _canonical(value) for name, unset in _CRITERIA if (value := getattr(criteria, name)) != unset}
    return _fingerprint({"list": given, "sort": sort})


def history_fingerprint(order_id: str) -> str:
    """Returns the fingerprint of an order's history."""
    return _fingerprint({"history": order_id})


def write_page_token(fingerprint: str, place: Mapping[str, int | str]) -> str:
    """Returns the token for a place in the answer to the question with this fingerprint."""
    body = _as_json([fingerprint, place]).encode()
    return _PREFIX + base64.urlsafe_b64encode(body + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES)).decode().rstrip("=")


def read_page_token(token: str, fingerprint: str) -> dict[str, Any]:
    """Returns the place in a token. Raises PageTokenMalformed unless it was issued for this fingerprint."""
    encoded = token.removeprefix(_PREFIX)
    if encoded == token:
        raise PageTokenMalformed(_NOT_OURS)
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
        if zlib.crc32(body).to_bytes(_CHECKSUM_BYTES) != checksum:
            raise PageTokenMalformed(_NOT_OURS)
        issued_for, place = json.loads(body)
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise PageTokenMalformed(_NOT_OURS) from None
    if not isinstance(place, dict):
        raise PageTokenMalformed(_NOT_OURS)
    if issued_for != fingerprint:
        raise PageTokenMalformed(
            "the page token was issued for another question; filter, sort and order id must stay the same from page to"
            " page"
        )
    return place


def place_value(place: Mapping[str, Any], name: str, *kinds: type) -> Any:
    """Returns a value of a place. Raises PageTokenMalformed when it is missing or not of one of the `kinds`."""
    value = place.get(name)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise PageTokenMalformed(_NOT_OURS)
    return value


def _canonical(value: Any) -> Any:
    return sorted(set(value)) if isinstance(value, tuple) else value


def _fingerprint(question: Any) -> str:
    return hashlib.sha256(_sorted_json(question).encode()).hexdigest()[: 2 * _FINGERPRINT_BYTES]
