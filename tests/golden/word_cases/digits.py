"""All decimal digits are digits."""

from __future__ import annotations

import sys
import unicodedata

from tests.golden.word_cases.case import Case, Place, either_way

#: The zeros of all scripts.
_ZEROS = [code for code in range(0x80, sys.maxunicode) if unicodedata.decimal(chr(code), None) == 0]


def _written(number: int, zero: int) -> str:
    return "".join(chr(zero + int(digit)) for digit in str(number))


CASES: tuple[Case, ...] = (
    *(Case(_written(1_234_567_890, zero), "1234567890", True, f"digits from U+{zero:04X}") for zero in _ZEROS),
    *(Case("1234567890", _written(1_234_567_890, zero), True, f"digits from U+{zero:04X}") for zero in _ZEROS),
    *either_way("Arabic-Indic, Persian, Devanagari, full width", "٣٤", "۳۴", "३४", "３４", "34"),
    *either_way("superscript and subscript", "H₂O m²", "h2o m2"),
    *either_way("circled", "⑳ ① ⓪ ❶", "20 1 0 1"),
    *either_way("fractions", "½", "1/2"),
    Case("٣٤٥", "34", True, "the beginning of a number"),
    Case("34", "٣٥", False, "another number"),
    Case("شارع ١٢", "12", True, "a number in an address"),
    Case("٠٩١٢٣٤٥٦٧٨٩", "9123456789", True, "a phone number in Persian digits", Place.PHONE),
    Case("+49 30 123456", "٠٣٠١٢٣٤٥٦", True, "a phone number asked for in Arabic digits", Place.PHONE),
    Case("ABC-123", "ＡＢＣ－１２３", True, "a SKU asked for in full width", Place.SKU),
)
