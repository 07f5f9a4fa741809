"""Phone numbers: the same number with and without its calling code, in groups or not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from query_service.projection.words.folding import MAX_WORD_LENGTH
from query_service.projection.words.scripts import IGNORED, NON_JOINER

#: Calling codes of fewer than three digits (ITU-T E.164): in each zone, the second digits that end a code.
_ONE_DIGIT = "17"
_TWO_DIGITS = re.compile("2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
_UNSEEN = re.compile(f"(?!{NON_JOINER})[{IGNORED}]")
_OTHER_DIGIT_OR_SIGN = re.compile(r"(?![0-9])\d|[\uff08\uff09\uff0b\uff0d-\uff0f]")
_DIGITS = re.compile("[0-9]+")
#: Trunk prefix in an international number, as in +49 (0)30.
_TRUNK = re.compile(r"\(\s*0\s*\)")
#: The last four digits are always kept: people know a number by them. A group so long is none: more tails are kept.
_LAST_DIGITS, _LONG_GROUP, _TAILS = 4, 8, range(5, 9)
#: What may be a number in a text: digits, and what stands between groups of them.
_NUMBER = re.compile(r"(?<!\w)(?<!\w[-./_])\(?\+?\(?[0-9][0-9\s().\-/\u2010-\u2015\u2212]*(?!\w)")
#: A number in a text has so many digits, and so many without its calling code.
_LEAST_DIGITS, _LEAST_NATIONAL_DIGITS = 6, 5


def readable(text: str) -> str:
    """The text with ASCII's digits and signs, and without what is not seen."""
    if text.isascii():
        return text
    return _OTHER_DIGIT_OR_SIGN.sub(_in_ascii, _UNSEEN.sub("", text))


def stored_numbers(phone: str) -> list[str]:
    """The digits of a phone number from each group on: whole, without calling code, without area code.

    Some may come twice.
    """
    phone = readable(phone)
    international = _is_international(phone)
    groups = _DIGITS.findall(_TRUNK.sub(" ", phone, count=1) if international and "(" in phone else phone)
    digits = "".join(groups)
    starts, place = list[int](), 0
    for group in groups:
        starts.append(place)
        place += len(group)
    if international:
        code_start = 2 if digits.startswith("00") else 0
        starts += [code_start, code_start + _calling_code_length(digits[code_start:])]
    elif digits.startswith("0"):
        starts.append(1)
    if place >= _LEAST_DIGITS:
        starts.append(place - _LAST_DIGITS)
        if len(groups[-1]) >= _LONG_GROUP:
            starts += [place - tail for tail in _TAILS]
    return [digits[start : start + MAX_WORD_LENGTH] for start in starts if start < place]


def numbers_in(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Where phone numbers with calling code or trunk prefix stand in a readable text, and how each may be kept."""
    for found in _NUMBER.finditer(text):
        number = found[0]
        international = _is_international(number)
        if international:
            number = _TRUNK.sub(" ", number, count=1)
        digits = "".join(_DIGITS.findall(number))
        if len(digits) < _LEAST_DIGITS or not (international or digits.startswith("0")):
            continue
        whole = digits.removeprefix("00") if international else digits
        national = whole[_calling_code_length(whole) :] if international else whole[1:]
        kept = (digits, whole, national) if len(national) >= _LEAST_NATIONAL_DIGITS else (digits, whole)
        yield found.start(), found.end(), tuple(dict.fromkeys(number[:MAX_WORD_LENGTH] for number in kept))


def _in_ascii(found: re.Match[str]) -> str:
    return str(unicodedata.decimal(found[0], "")) or unicodedata.normalize("NFKC", found[0])


def _is_international(number: str) -> bool:
    return number.lstrip(" (").startswith(("+", "00"))


def _calling_code_length(digits: str) -> int:
    if digits[:1] in _ONE_DIGIT:
        return 1
    return 2 if _TWO_DIGITS.match(digits) else 3
