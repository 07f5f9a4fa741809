"""Numbers as people type them: without separators, with others, without what is common to all."""

from __future__ import annotations

from collections.abc import Iterable

from tests.golden.word_cases.case import Case, Place


def _found(stored: str, place: Place, *asked: str) -> Iterable[Case]:
    for text in asked:
        yield Case(stored, text, True, "as typed", place)


def _not_found(stored: str, place: Place, *asked: str) -> Iterable[Case]:
    for text in asked:
        yield Case(stored, text, False, "another one", place)


_ORDER_NUMBER, _SKU, _POSTAL_CODE, _PHONE = Place.ORDER_NUMBER, Place.SKU, Place.POSTAL_CODE, Place.PHONE
_NATIONAL = ("030123456", "030 123456", "030/123456", "(030) 123-456", "0 30 12 34 56", "0301234")
_BERLIN = (
    *("+4930123456", "4930123456", "004930123456", "+49 30 123456", "0049 30 123456", "30123456", "+49 (0)30 123456"),
    *("0049 (0) 30 123456", "(+49) 30 123 456", "+49-30-123456", "49 30 123 456", "+49.30.123.456"),
    *("+49\u00a030\u00a0123456", "+49301234", *_NATIONAL),
)

CASES: tuple[Case, ...] = (
    *_found("J1NXP-11JMY-JT2TW", _ORDER_NUMBER, "J1NXP-11JMY-JT2TW", "j1nxp11jmyjt2tw", "J1NXP 11JMY JT2TW"),
    *_found("J1NXP-11JMY-JT2TW", _ORDER_NUMBER, "j1nxp", "11jmy-jt2tw", "jt2tw", "j1nxp11"),
    *_found("J1NXP-11JMY-JT2TW", _ORDER_NUMBER, "J1NXP‐11JMY–JT2TW", "J1NX-P11J-MYJT-2TW", "J1NXP_11JMY"),
    *_not_found("J1NXP-11JMY-JT2TW", _ORDER_NUMBER, "j1nxpjt2tw", "1nxp", "j1nxp-11jmz"),
    *_found("SO-10248/B", _ORDER_NUMBER, "so10248b", "SO-10248/B", "so-10248", "so 10248 b", "10248", "10248-b", "b"),
    *_found("2026.11.000123", _ORDER_NUMBER, "20261100", "2026-11-000123", "000123"),
    *_found("10248", _ORDER_NUMBER, "10248", "102", "10-248"),
    *_found("A-1-B-2-C-3-D-4", _ORDER_NUMBER, "a1b2c3d4", "A-1-B-2-C-3-D-4", "c-3"),
    *_found("ABC-123", _SKU, "ABC-123", "abc123", "abc 123", "ABC_123", "abc/123", "abc.123", "123", "abc", "abc-12"),
    *_found("ABC123", _SKU, "ABC-123", "abc123", "abc 123", "ABC_123", "A-B-C-123"),
    *_found("A1B2C3D4E5", _SKU, "A-1-B-2-C-3-D-4-E-5", "a 1 b 2 c 3 d 4 e 5", "A1.B2.C3.D4.E5", "a-1-b-2-c-3-d"),
    *_not_found("A1B2C3D4E5", _SKU, "A-1-B-2-C-3-D-4-F-5", "b-1-B-2-C-3-D-4-E-5"),
    *_found("ABC 123", _SKU, "ABC-123", "abc123", "abc 123"),
    *_not_found("ABC-123", _SKU, "abc124", "bc123", "abc 23", "abc-124", "abd-123"),
    *_found("WH-1000XM4/B", _SKU, "wh1000xm4", "WH 1000 XM4", "wh-1000xm4b", "1000 xm4", "1000xm4"),
    *_found("CAFÉ-43", _SKU, "cafe43", "café-43", "CAFE 43"),
    *_found("ÄPFEL-51", _SKU, "apfel51", "Äpfel 51"),
    *_found("緑茶-51", _SKU, "緑茶51", "緑茶-51", "茶 51", "51"),
    *_found("T'EA-1", _SKU, "tea1", "t'ea-1", "tea-1"),
    *_found("SW1A 1AA", _POSTAL_CODE, "SW1A 1AA", "SW1A1AA", "sw1a1aa", "sw1a-1aa", "sw1a", "1aa", "SW1A 1"),
    *_found("SW1A1AA", _POSTAL_CODE, "SW1A 1AA", "SW1A1AA", "sw1a"),
    *_not_found("SW1A 1AA", _POSTAL_CODE, "SW1A 2AA", "sw1a2", "w1a1aa"),
    *_found("K1A 0B1", _POSTAL_CODE, "k1a0b1", "K1A-0B1", "k1a"),
    *_found("K1A0B1", _POSTAL_CODE, "K1A 0B1"),
    *_found("00-950", _POSTAL_CODE, "00950", "00-950", "00 950", "950"),
    *_found("00950", _POSTAL_CODE, "00-950"),
    *_found("106-6108", _POSTAL_CODE, "1066108", "106-6108", "〒106-6108", "１０６－６１０８"),
    *_found("1234 AB", _POSTAL_CODE, "1234ab", "1234 AB", "1234"),
    *_found("51100", _POSTAL_CODE, "51100", "511"),
    *_found("+49 (30) 123-456", _PHONE, *_BERLIN, "123456", "123-456", "123 456", "456", "3456"),
    *_found("+4930123456", _PHONE, *_BERLIN, "123456", "123-456", "23456", "3456", "0123456"),
    *_found("+4915112345678", _PHONE, "0151 12345678", "12345678", "+49 151 12345678", "345678", "5678"),
    *_found("8 (495) 123-45-67", _PHONE, "+7 495 123-45-67", "84951234567", "123-45-67", "4567"),
    *_found("+44 20 7946 0958", _PHONE, "020 7946 0958", "02079460958", "(020) 7946-0958", "7946 0958"),
    *_found("0049 30 123456", _PHONE, *_BERLIN, "123456"),
    *_found("+49 (0)30 123456", _PHONE, *_BERLIN, "123456"),
    *_found("030 123456", _PHONE, *_NATIONAL, "+49 30 123456", "004930123456", "030123456", "123456"),
    *_not_found("+49 (30) 123-456", _PHONE, "030123457", "+49 40 123456", "4930223456", "123457", "+43 31 123456"),
    *_found(
        "(415) 555-2671", _PHONE, "4155552671", "415-555-2671", "415.555.2671", "+1 415 555 2671", "14155552671"[1:]
    ),
    *_found("(415) 555-2671", _PHONE, "555-2671", "5552671", "2671", "+14155552671", "+1 415 555 2671"),
    *_found("+1-415-555-2671", _PHONE, "4155552671", "(415) 555-2671", "5552671", "1-415-555-2671", "14155552671"),
    *_found("+353 1 234 5678", _PHONE, "012345678", "+35312345678", "01 234 5678", "234 5678", "2345678"),
    *_found("+35312345678", _PHONE, "01 234 5678", "2345678", "5678"),
    *_found("+33 1 42 68 53 00", _PHONE, "0142685300", "01 42 68 53 00", "01.42.68.53.00", "42685300", "+33142685300"),
    *_found("+39 06 1234567", _PHONE, "061234567", "06 1234567", "+39061234567", "1234567"),
    *_found("26.47.15.10", _PHONE, "26471510", "26 47 15 10", "26.47.15.10", "471510", "1510"),
    *_found("0555-09876", _PHONE, "055509876", "0555 09876", "0555-09876", "09876", "555-09876"),
    *_found("+81-3-1234-5678", _PHONE, "0312345678", "03-1234-5678", "+81312345678", "1234-5678", "12345678", "5678"),
    *_found("\u202d+49 30 123456\u202c", _PHONE, "030 123456", "4930123456"),
    *_found("＋４９ ３０ １２３４５６", _PHONE, "030 123456", "4930123456"),
    *_found("030 123456 ext 12", _PHONE, "030123456", "ext 12", "03012345612"),
    *_found("+49 30 123456 / +49 170 654321", _PHONE, "030 123456", "0170 654321", "+49 170 654321", "3456", "4321"),
    *_found("+49 (030) 123456", _PHONE, *_BERLIN, "123456"),
    *_found("+49 30 123456", _PHONE, "+49 (030) 123456", "+49 (0) 30 / 123456", "0049030123456"),
    *_found("1-800-FLOWERS", _PHONE, "1800flowers", "1-800-FLOWERS", "1 800 flowers", "800 flowers", "flowers"),
    *_found("call after six", _PHONE, "after six"),
    Case("23456", "0000123456", False, "zeros before a number are no prefix"),
    Case("123456", "0000123456", False, "zeros before a number are no prefix"),
    Case("No. 0000123456", "0000123456", True, "zeros before a number are part of it"),
    # As much as a text may ask for.
    Case("tea", " ".join(str(number) for number in range(9, 76)), False, "as many numbers as a text can have"),
    Case("tea", "0" + " 1 2 3 4 5 6 7 8 9" * 11, False, "as many groups of digits as a text can have"),
    # Beside other words.
    Case("+49 (30) 123-456", "030 123456 nothing", False, "another word is missing", _PHONE),
    Case("Tee 030", "tee 030", True, "a number that is too short for a phone's"),
    Case("Model 0120-345 678", "model 0120-345", True, "a number in a name that looks like a phone's"),
    Case("Model 0120-345 678", "0120-345 678", True, "a number in a name that looks like a phone's"),
    Case("Model 30123456", "tee 030123456", False, "another word is missing"),
)
