"""Encodes consistency tokens: what a caller has written or seen, so that an answer is never older.

A token names exact (order, version) pairs of one source epoch, not a position. So it can be merged with any other
token, and never waits for somebody else's orders. On the wire it is text, opaque to callers.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from tandem.orders.v1 import consistency_token_pb2

MAX_VERSIONS = 64
_PREFIX = "t1."
_CHECKSUM_BYTES = 4


class MalformedToken(ValueError):  # noqa: N818 - reads as what it is
    """The text was not issued as a consistency token, or was damaged."""


class TokensOfDifferentSources(ValueError):  # noqa: N818
    """The tokens have different source epochs; the older one can no longer be honoured.

    `latest` leaves it out.
    """


class TokenFull(ValueError):  # noqa: N818
    """More than 64 orders in one token."""


@dataclass(frozen=True)
class ConsistencyToken:
    """What an answer must contain. `versions` maps order ids (UUID text) to the least version of each."""

    source_epoch: int
    versions: Mapping[str, int] = field(default_factory=dict[str, int])


def encode(token: ConsistencyToken) -> str:
    """Returns the token as text. Raises TokenFull above 64 orders, ValueError for an order id that is no UUID."""
    if len(token.versions) > MAX_VERSIONS:
        raise TokenFull(f"a consistency token names at most {MAX_VERSIONS} orders, not {len(token.versions)}")
    message = consistency_token_pb2.ConsistencyToken(
        source_epoch=token.source_epoch,
        versions=[
            consistency_token_pb2.OrderVersion(order_id=uuid.UUID(order_id).bytes, version=version)
            for order_id, version in token.versions.items()
        ],
    )
    body = message.SerializeToString(deterministic=True)
    checksum = zlib.crc32(body).to_bytes(_CHECKSUM_BYTES)
    return _PREFIX + base64.urlsafe_b64encode(body + checksum).decode().rstrip("=")


def decode(text: str) -> ConsistencyToken:
    """Reads a token; raises MalformedToken."""
    encoded = text.removeprefix(_PREFIX)
    if encoded == text:
        raise MalformedToken("not a consistency token")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise MalformedToken("the consistency token is damaged") from None
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if zlib.crc32(body).to_bytes(_CHECKSUM_BYTES) != checksum:
        raise MalformedToken("the consistency token is damaged")
    try:
        message = consistency_token_pb2.ConsistencyToken.FromString(body)
        versions = {str(uuid.UUID(bytes=pair.order_id)): pair.version for pair in message.versions}
    except (DecodeError, ValueError):
        raise MalformedToken("the consistency token is damaged") from None
    if len(versions) > MAX_VERSIONS:
        raise MalformedToken(f"a consistency token names at most {MAX_VERSIONS} orders")
    return ConsistencyToken(message.source_epoch, versions)


def merge(*texts: str, forget_oldest: bool = False) -> str:
    """Returns one token that names everything that the given ones name; "" for none. Empty texts are ignored.

    Above 64 orders it raises TokenFull, or with `forget_oldest` drops those merged first. Raises MalformedToken and
    TokensOfDifferentSources.
    """
    tokens = [decode(text) for text in texts if text]
    if len({token.source_epoch for token in tokens}) > 1:
        raise TokensOfDifferentSources("the tokens come from different incarnations of the source database")
    return _merged(tokens, forget_oldest)


def latest(*texts: str) -> str:
    """Returns one token for everything in the given ones that can still be honoured, "" for nothing. Never raises.

    Left out are tokens of a source epoch older than the newest among them, texts that are no tokens, and beyond 64
    orders those merged first.
    """
    tokens: list[ConsistencyToken] = []
    for text in filter(None, texts):
        with contextlib.suppress(MalformedToken):
            tokens.append(decode(text))
    newest = max((token.source_epoch for token in tokens), default=0)
    return _merged([token for token in tokens if token.source_epoch == newest], forget_oldest=True)


def epoch_of(text: str) -> int:
    """Returns a token's source epoch; 0 for a text that is no token."""
    try:
        return decode(text).source_epoch
    except MalformedToken:
        return 0


def _merged(tokens: Sequence[ConsistencyToken], forget_oldest: bool) -> str:
    """Merges `tokens` of one source epoch."""
    if not tokens:
        return ""
    versions: dict[str, int] = {}
    for token in tokens:
        for order_id, version in token.versions.items():
            versions[order_id] = max(version, versions.pop(order_id, 0))
    if forget_oldest:
        versions = dict(list(versions.items())[-MAX_VERSIONS:])
    return encode(ConsistencyToken(tokens[0].source_epoch, versions))
