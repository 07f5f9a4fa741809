"""Finds phone numbers, with or without calling code, in groups of digits or not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from query_service.projection.words.folding import MAX_WORD_LENGTH
from query_service.projection.words.scripts import ARABIC, NON_JOINER, UNSEEN

#: Calling codes of fewer than three digits (ITU-T E.164): in each zone, the second digits that end a code.
_ONE_DIGIT = ("1", "7")
_TWO_DIGITS = re.compile("2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
_UNSEEN = re.compile(f"(?!{NON_JOINER})[{UNSEEN}]")
#: A non-joiner that has no meaning, because it is not between Arabic letters.
_IDLE_NON_JOINER = re.compile(f"(?<![{ARABIC}{NON_JOINER}]){NON_JOINER}+|{NON_JOINER}+(?![{ARABIC}{NON_JOINER}])")
_OTHER_DIGIT_OR_SIGN = re.compile(r"(?![0-9])\d|[\uff08\uff09\uff0b\uff0d-\uff0f]")
_DIGITS = re.compile("[0-9]+")
#: The start of an international number. No calling code begins with 0, so 000123 is an order number.
_INTERNATIONAL = re.compile(r"[\s(]*(?:\+[\s(]*|00[\s().\-/]*)[1-9]")
_TRUNK_PREFIX = re.compile("0[1-9]")
_EACH_NUMBER = re.compile(r"\+[^+]*|[^+]+")
#: The last four digits are always stored, because people search by them. A last group of at least `_LONG_GROUP` digits
#: is not a real group, so the last digits of these lengths are stored as well.
_LAST_DIGITS, _LONG_GROUP, _TAILS = 4, 8, range(5, 9)
#: A possible phone number in a text: digits, and separators between groups of them.
_NUMBER = re.compile(r"(?:(?<!\w)(?<!\w[-./_])|(?=\+))(?:\(?\+[\s(]*|\()?[0-9][0-9\s().\-/\u2010-\u2015\u2212]*(?!\w)")
#: The least digits of a phone number in a text, and of one that may have a calling code without + or 00.
_LEAST_DIGITS, _LEAST_BARE_DIGITS = 6, 10
#: The least digits that follow a calling code.
_LEAST_NATIONAL_DIGITS = 2


def readable(text: str) -> str:
    """Returns the text with ASCII digits and signs, and without invisible characters."""
    if text.isascii():
        return text
    return _OTHER_DIGIT_OR_SIGN.sub(_in_ascii, _IDLE_NON_JOINER.sub("", _UNSEEN.sub("", text)))


def stored_numbers(phone: str) -> list[str]:
    """Returns what is stored for phone numbers: the digits after the calling code, from each group on, and the last.

    Some may occur twice.
    """
    phone = readable(phone)
    if "+" not in phone:
        return _stored_number(phone)
    return [digits for number in _EACH_NUMBER.findall(phone) for digits in _stored_number(number)]


def _stored_number(phone: str) -> list[str]:
    groups = _DIGITS.findall(phone)
    digits = "".join(groups)
    starts, place = _national_starts(phone, digits), 0
    for group in groups:
        if place > starts[0]:
            starts.append(place)
        place += len(group)
    if place >= _LEAST_DIGITS:
        starts.append(place - _LAST_DIGITS)
        if len(groups[-1]) >= _LONG_GROUP:
            starts += [place - tail for tail in _TAILS]
    return [digits[start : start + MAX_WORD_LENGTH] for start in starts if start < place]


def numbers_in(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yields start, end and possible stored digits of each phone number in a `readable` text."""
    for found in _NUMBER.finditer(text):
        digits = "".join(_DIGITS.findall(found[0]))
        starts = _national_starts(found[0], digits)
        if starts == [0] and len(digits) >= _LEAST_BARE_DIGITS:
            starts.append(_calling_code_length(digits))
        if starts[0] or len(digits) >= _LEAST_DIGITS:
            kept = (digits, *(digits[start:] for start in starts))
            yield found.start(), found.end(), tuple(dict.fromkeys(number[:MAX_WORD_LENGTH] for number in kept))


def _in_ascii(found: re.Match[str]) -> str:
    return str(unicodedata.decimal(found[0], "")) or unicodedata.normalize("NFKC", found[0])


def _national_starts(number: str, digits: str) -> list[int]:
    """Returns where the digits begin after 00 and calling code; and, if there is one, after the trunk prefix 0."""
    start = 0
    if _INTERNATIONAL.match(number):
        prefix = 2 if digits.startswith("00") else 0
        start = prefix + _calling_code_length(digits[prefix:])
        if len(digits) - start < _LEAST_NATIONAL_DIGITS:
            start = 0
    return [start, start + 1] if _TRUNK_PREFIX.match(digits, start) else [start]


def _calling_code_length(digits: str) -> int:
    if digits.startswith(_ONE_DIGIT):
        return 1
    return 2 if _TWO_DIGITS.match(digits) else 3
