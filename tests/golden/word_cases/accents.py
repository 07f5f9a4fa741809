"""Accents do not matter in Latin, Greek, Cyrillic, Hebrew and Arabic."""

from __future__ import annotations

from tests.golden.word_cases.case import Case, decomposed, either_way

_COMPOSED: tuple[Case, ...] = (
    *either_way("French", "crème brûlée", "creme brulee", "CRÈME BRÛLÉE"),
    *either_way("German", "Käsespätzle", "kasespatzle", "KÄSESPÄTZLE"),
    *either_way("Czech", "Žďár", "zdar", "ŽĎÁR"),
    *either_way("Hungarian", "őrült", "orult", "ŐRÜLT"),
    *either_way("Romanian, comma and cedilla", "Țară", "Ţară", "tara"),
    *either_way("Vietnamese, two accents on a letter", "Nguyễn Ngọc", "nguyen ngoc", "NGUYỄN NGỌC"),
    *either_way("Vietnamese, horn and stroke", "Đường phở", "duong pho"),
    *either_way("Turkish", "Çağrı Şükrü Güneş", "cagri sukru gunes"),
    *either_way("Polish", "Zażółć gęślą jaźń", "zazolc gesla jazn"),
    *either_way("Lithuanian", "ąčęėįšųūž", "aceeisuuz"),
    *either_way("Yoruba, dot and tone", "Ọ̀ṣun", "osun"),
    *either_way("Greek tonos and final sigma", "Αθήνας", "ΑΘΗΝΑΣ", "αθηνασ"),
    *either_way("Greek dialytika with tonos", "προΐσταμαι", "προισταμαι"),
    *either_way("Greek of old", "ᾠδή", "ωιδη", "ᾨΔΉ"),
    *either_way("Russian й and ё", "зелёный чай", "зеленыи чаи", "ЗЕЛЁНЫЙ ЧАЙ"),
    *either_way("Ukrainian ї", "Київ", "Киів", "київ"),
    *either_way("Belarusian ў", "Воўк", "воук"),
    *either_way("Macedonian ќ", "Ќерка", "керка"),
    *either_way("Hebrew niqqud", "שָׁלוֹם", "שלום"),
    *either_way("Hebrew presentation forms", "שּׁלום", "שלום"),
    *either_way("Arabic harakat", "مُحَمَّد", "محمد"),
    *either_way("Arabic hamza on alef", "أحمد", "احمد", "إحمد", "آحمد"),
    *either_way("Arabic hamza on its seats", "مسؤول", "مسوول"),
    *either_way("Arabic superscript alef", "رحمٰن", "رحمن"),
)

CASES: tuple[Case, ...] = (
    *_COMPOSED,
    *decomposed(_COMPOSED),
    Case("a\u0323\u0302", "ậ", True, "accents in another order"),
    Case("a\u0302\u0323", "ậ", True, "accents in another order"),
    Case("cafe \u0301", "cafe", True, "an accent without a letter"),
    Case("Тара\u0301с", "тарас", True, "a stress mark in Cyrillic"),
    Case("x\u20d7 vector", "x vector", True, "an arrow above a letter"),
    Case("Z͑̓a̶l̵g̷o", "zalgo", True, "any number of marks"),
    Case("creme", "crime", False, "letters do matter"),
    Case("чай", "чан", False, "letters do matter"),
)
