"""Checks single fields of requests. A check gets a field's value (None if it is absent) and returns what is wrong.

It returns pairs (subfield, sentence). The subfield is empty if the sentence is about the field itself. Otherwise it
names a part of a composite value, such as an amount.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any

from service_runtime.edge.characters import forging, hidden, shows_something

Problems = Iterable[tuple[str, str]]
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NIL = "00000000-0000-0000-0000-000000000000"
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_LEAST_SECONDS, _LARGEST_SECONDS = -62_135_596_800, 253_402_300_799  # years 1 to 9999
NANOS_PER_UNIT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """A check of a field. `demands` describes it in words for the reference page."""

    demands: str
    problems: Callable[[Any], Problems]
    #: Whether the check covers every part of a composite value, so that the parts need no checks of their own.
    whole: bool = True


def must(demands: str, holds: Callable[[Any], bool]) -> Check:
    """Returns the check with the sentence `must {demands}`. An absent value is valid; `holds` decides about others."""
    wrong = (("", f"must {demands}"),)
    return Check(f"must {demands}", lambda value: () if value is None or holds(value) else wrong)


def _always(_: Any) -> Problems:
    return ()


#: For fields in which every value that can be sent is valid.
ANY = Check("any value", _always)
#: For optional messages whose fields have checks of their own.
OPTIONAL = Check("may be absent", _always, whole=False)


_MISSING = (("", "is required"),)


def _required(value: Any) -> Problems:
    return _MISSING if value is None else ()


#: For messages that must be there and whose fields have checks of their own.
REQUIRED = Check("required", _required, whole=False)


def _is_plain(value: str) -> bool:
    """Returns whether a text has nothing but visible ASCII characters and plain spaces, and not only spaces.

    Most texts are plain. They are valid, if they are not too long, and need no look at each character.
    """
    return value.isascii() and value.isprintable() and not value.isspace() and value != ""


def text(longest: int, *, required: bool = False) -> Check:
    """Checks free text of at most `longest` characters, or an absent one. A required text needs a visible character."""

    def problems(value: str | None) -> Problems:
        if value is None or (_is_plain(value) and len(value) <= longest):
            return ()
        return wrong(value)

    def wrong(value: str) -> Iterator[tuple[str, str]]:
        if required and not shows_something(value):
            yield "", "is required"
        elif len(value) > longest:
            yield "", f"has {len(value)} characters, at most {longest} are allowed"
        elif character := forging(value):
            yield "", f"has the control character U+{ord(character):04X}"

    return Check(f"{'1' if required else '0'} to {longest} characters, no control characters", problems)


def identifier(longest: int, *, required: bool = False) -> Check:
    """Checks text that is compared with other text. Two valid identifiers that look equal are equal.

    An empty text is valid unless `required`.
    """

    def problems(value: str) -> Problems:
        return () if _is_plain(value) and len(value) <= longest and value == value.strip(" ") else wrong(value)

    def wrong(value: str) -> Iterator[tuple[str, str]]:
        if required and not shows_something(value):
            yield "", "is required"
        elif len(value) > longest:
            yield "", f"has {len(value)} characters, at most {longest} are allowed"
        elif character := hidden(value):
            yield "", f"has the character U+{ord(character):04X}, which cannot be seen; only plain spaces are allowed"
        elif value != value.strip(" "):
            yield "", "begins or ends with a space"
        elif value and unicodedata.category(value[0]).startswith("M"):
            yield "", f"begins with the combining character U+{ord(value[0]):04X}"
        elif not unicodedata.is_normalized("NFC", value):
            yield "", "is not in Unicode's composed form (NFC), so that it would differ from what looks the same"

    least = "1" if required else "0"
    return Check(f"{least} to {longest} visible characters in NFC, between them plain spaces", problems)


def is_uuid(text: str) -> bool:
    """Returns whether a text is a UUID with its hyphens."""
    return _UUID.fullmatch(text) is not None


def uuid(*, required: bool) -> Check:
    """Checks a UUID of 36 characters. The nil UUID is refused, because a value that was never set looks like it."""

    wrong = (("", "must be a UUID such as 018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b, and not the nil one"),)

    def problems(value: str) -> Problems:
        if not value:
            return _MISSING if required else ()
        return wrong if not is_uuid(value) or value == _NIL else ()

    return Check("a UUID" if required else "empty or a UUID", problems)


def email(longest: int) -> Check:
    """Checks that the text is empty or an address with something on both sides of an `@`."""
    plain = identifier(longest)

    def problems(value: str) -> Iterator[tuple[str, str]]:
        yield from plain.problems(value)
        local, at, domain = value.rpartition("@")
        if value and not (local and at and domain):
            yield "", "must be an e-mail address"

    return Check(f"empty or an e-mail address of at most {longest} characters", problems)


def integer(least: int, largest: int) -> Check:
    """Checks that an integer is within two bounds. An absent value is valid."""

    def problems(value: int | None) -> Problems:
        if value is None or least <= value <= largest:
            return ()
        return (
            ("", f"is {value}, must be {least} to {largest}" if least < largest else f"is {value}, must be {least}"),
        )

    return Check(f"{least} to {largest}" if least < largest else f"absent or {least}", problems)


def count(least: int, largest: int) -> Check:
    """Checks the number of elements of a repeated field."""

    def problems(value: Sized) -> Problems:
        if least <= len(value) <= largest:
            return ()
        return (("", f"has {len(value)} elements, must have {least} to {largest}"),)

    return Check(f"{least} to {largest} elements", problems, whole=False)


def language_code() -> Check:
    """Checks that the text is empty or a BCP 47 tag."""

    def problems(value: str) -> Iterator[tuple[str, str]]:
        if value and (len(value) > 35 or not _LANGUAGE.fullmatch(value)):
            yield "", "must be a BCP 47 language tag such as de-AT"

    return Check("empty or a BCP 47 language tag", problems)


def is_time(timestamp: Any) -> bool:
    """Returns whether a Timestamp is valid and within the years 1 to 9999."""
    seconds: int = timestamp.seconds
    return _LEAST_SECONDS <= seconds <= _LARGEST_SECONDS and timestamp.nanos in range(NANOS_PER_UNIT)


def timestamp(*, required: bool) -> Check:
    """Checks that a time is within the years 1 to 9999. It may be absent unless `required`."""

    def problems(value: Any) -> Iterator[tuple[str, str]]:
        if value is None:
            if required:
                yield "", "is required"
        elif not _LEAST_SECONDS <= value.seconds <= _LARGEST_SECONDS:
            yield "seconds", "must lie in the years 1 to 9999"
        elif not 0 <= value.nanos < NANOS_PER_UNIT:
            yield "nanos", "must be 0 to 999999999"

    return Check(f"{'a' if required else 'absent or a'} time, kept to the microsecond", problems)
