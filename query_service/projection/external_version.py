"""Computes the number that orders all writes of a document: by source epoch, then order version, then revision.

It is `epoch * 2**50 + version * 2**10 + revision`. A store keeps the document with the greatest number. So duplicates,
reordering, concurrent writers and rebuilds are harmless. Revision 0 is the event itself. Higher revisions are reserved
for repairs, redactions and re-projections of the same version.
"""

from __future__ import annotations

from typing import NamedTuple

REVISION_BITS = 10
VERSION_BITS = 40
MAX_REVISION = 2**REVISION_BITS - 1
MAX_VERSION = 2**VERSION_BITS - 1
#: The number is a signed 64-bit integer in every store.
MAX_EPOCH = 2 ** (63 - VERSION_BITS - REVISION_BITS) - 1


class VersionParts(NamedTuple):
    """The three parts of an external version."""

    source_epoch: int
    version: int
    revision: int


def external_version(source_epoch: int, version: int, revision: int = 0) -> int:
    """Returns the document's external version. Raises ValueError naming the part that is out of bounds."""
    if not 1 <= source_epoch <= MAX_EPOCH:
        raise ValueError(f"source epoch {source_epoch} is not within 1 to {MAX_EPOCH}")
    if not 1 <= version <= MAX_VERSION:
        raise ValueError(f"order version {version} is not within 1 to {MAX_VERSION}")
    if not 0 <= revision <= MAX_REVISION:
        raise ValueError(f"revision {revision} is not within 0 to {MAX_REVISION}")
    return (source_epoch << (VERSION_BITS + REVISION_BITS)) | (version << REVISION_BITS) | revision


def order_version(number: int) -> int:
    """Returns the order version in an external version. Raises as `version_parts`."""
    version: int = (number >> REVISION_BITS) & MAX_VERSION
    if not version or not 1 <= number >> (VERSION_BITS + REVISION_BITS) <= MAX_EPOCH:
        raise ValueError(f"{number} is not an external version")
    return version


def version_parts(number: int) -> VersionParts:
    """Returns the parts of an external version. Raises ValueError for a number that `external_version` never gives."""
    epoch, version = number >> (VERSION_BITS + REVISION_BITS), (number >> REVISION_BITS) & MAX_VERSION
    if not 1 <= epoch <= MAX_EPOCH or not version:
        raise ValueError(f"{number} is not an external version")
    return VersionParts(epoch, version, number & MAX_REVISION)
