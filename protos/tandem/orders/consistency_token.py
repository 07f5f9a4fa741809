"""Encodes, decodes and merges consistency tokens.

A token lists what a caller has written or seen: pairs of order id and version, of one source epoch. A query with the
token never gets an older answer. Because a token has no position in a log, a query waits only for the orders in it, and
tokens of one source epoch can be merged. On the wire a token is text that callers need not understand.
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
    """The text is not a consistency token, or the token is damaged."""


class TokensOfDifferentSources(ValueError):  # noqa: N818
    """The tokens have different source epochs, because the database was restored after one of them was issued.

    The token with the lower epoch can no longer be honoured. `latest` leaves it out.
    """


class TokenFull(ValueError):  # noqa: N818
    """The token would name more than 64 orders."""


@dataclass(frozen=True)
class ConsistencyToken:
    """What an answer must contain: `versions` maps order ids (UUID text) to the lowest acceptable version."""

    source_epoch: int
    versions: Mapping[str, int] = field(default_factory=dict[str, int])


def encode(token: ConsistencyToken) -> str:
    """Returns a token as text. Raises TokenFull for more than 64 orders, ValueError when an order id is not a UUID."""
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
    """Returns the token of a text. Raises MalformedToken."""
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
    """Merges tokens: the result has every order of `texts` with its highest version. Empty texts are skipped.

    Returns "" when all texts are empty. With more than 64 orders it raises TokenFull; with `forget_oldest` it drops the
    orders that were merged first. Raises MalformedToken, and TokensOfDifferentSources when the source epochs differ.
    """
    tokens = [decode(text) for text in texts if text]
    if len({token.source_epoch for token in tokens}) > 1:
        raise TokensOfDifferentSources("the tokens have different source epochs: the database was restored in between")
    return _merged(tokens, forget_oldest)


def latest(*texts: str) -> str:
    """Merges the tokens that can still be honoured; "" when there are none. Never raises.

    It leaves out texts that are not tokens, and tokens with an older source epoch than the newest one. With more than
    64 orders it drops the orders that were merged first.
    """
    tokens: list[ConsistencyToken] = []
    for text in filter(None, texts):
        with contextlib.suppress(MalformedToken):
            tokens.append(decode(text))
    newest = max((token.source_epoch for token in tokens), default=0)
    return _merged([token for token in tokens if token.source_epoch == newest], forget_oldest=True)


def epoch_of(text: str) -> int:
    """Returns a token's source epoch; 0 when the text is not a token."""
    try:
        return decode(text).source_epoch
    except MalformedToken:
        return 0


def _merged(tokens: Sequence[ConsistencyToken], forget_oldest: bool) -> str:
    """Merges tokens, which must have one source epoch."""
    if not tokens:
        return ""
    versions: dict[str, int] = {}
    for token in tokens:
        for order_id, version in token.versions.items():
            versions[order_id] = max(version, versions.pop(order_id, 0))
    if forget_oldest:
        versions = dict(list(versions.items())[-MAX_VERSIONS:])
    return encode(ConsistencyToken(tokens[0].source_epoch, versions))
