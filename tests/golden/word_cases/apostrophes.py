"""Any apostrophe is any apostrophe, and may be left out or be a space."""

from __future__ import annotations

from tests.golden.word_cases.case import Case, apart, either_way

APOSTROPHES = "❛❜'’‘‛`´ʼʻˮʹʾʿˈ′‵＇｀ꞌ՚"

CASES: tuple[Case, ...] = (
    *(Case(f"O{sign}Neil", "O'Neil", True, f"{sign!a} stored") for sign in APOSTROPHES),
    *(Case("O'Neil", f"O{sign}Neil", True, f"{sign!a} asked for") for sign in APOSTROPHES),
    *(Case(f"O{sign}Neil", "oneil", True, f"{sign!a} left out") for sign in APOSTROPHES),
    *(Case("ONeil", f"o{sign}neil", True, f"stored without, asked with {sign!a}") for sign in APOSTROPHES),
    *(Case(f"O{sign}Neil", "neil", True, f"the part behind {sign!a}") for sign in APOSTROPHES),
    *either_way("an apostrophe or a space", "O'Neil", "O Neil"),
    Case("O Neil", "oneil", False, "two words are not looked for as one"),
    *either_way("Ukrainian", "м'ята", "м’ята", "мʼята", "мята"),
    *either_way("French", "l'eau d’Évian", "L’EAU D'EVIAN", "l eau d evian"),
    Case("l’eau", "eau", True, "the word behind the article"),
    *either_way("Italian", "Dell'Orto", "dell’orto", "dellorto"),
    *either_way("Hawaiian", "Hawaiʻi", "Hawai'i", "hawaii"),
    *either_way("Uzbek", "oʻzbek", "o'zbek", "ozbek"),
    *either_way("Hebrew geresh", "ג׳ירף", "ג'ירף", "גירף"),
    *either_way("Hebrew gershayim", "צה״ל", 'צה"ל', "צה”ל", "צה''ל", "צהל", 'צה\u200f"\u200fל'),
    *either_way("Breton", "c'hoar", "c’hoar", "choar"),
    *either_way("Levi's", "Levi's", "Levi’s", "Levis"),
    Case("Levi's", "levi", True, "the name"),
    *either_way("two apostrophes", "rock'n'roll", "rock’n’roll", "rocknroll"),
    Case("rock'n'roll", "rock n roll", True, "spaces for apostrophes"),
    Case("rock 'n' roll", "rock'n'roll", True, "apostrophes apart"),
    *either_way("Catalan dot", "col·lecció", "coŀlecció", "colleccio", "col‧lecció"),
    Case("'quoted' words", "quoted words", True, "quotes around a word are none of it"),
    Case("quoted", "'quoted'", True, "quotes around a word are none of it"),
    Case("the dogs' bowl", "dogs bowl", True, "an apostrophe at the end"),
    Case("5'10\"", "510", True, "left out between digits"),
    Case("1'000 pieces", "1000", True, "between groups of digits"),
    Case("“tea”", "tea", True, "other quotes cut"),
    *apart("an apostrophe is no letter", "o'neil", "o'neal"),
)
