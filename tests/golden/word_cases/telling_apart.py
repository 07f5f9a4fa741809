"""Marks that are no accents tell words apart."""

from __future__ import annotations

from tests.golden.word_cases.case import Case, apart, decomposed

_COMPOSED: tuple[Case, ...] = (
    *apart("dakuten", "かき", "がき", "かぎ"),
    *apart("dakuten and handakuten", "はす", "ばす", "ぱす"),
    *apart("dakuten in katakana", "ハス", "バス", "パス"),
    *apart("one letter with and without dakuten", "は", "ば", "ぱ"),
    *apart("dakuten, half width", "ﾊｽ", "ﾊﾞｽ", "ﾊﾟｽ"),
    *apart("dakuten on ウ", "ウイ", "ヴイ"),
    *apart("small kana", "きやく", "きゃく"),
    *apart("long vowel", "ビル", "ビール"),
    *apart("Hangul finals", "가", "각", "간"),
    *apart("Hangul vowels", "고기", "거기"),
    *apart("Thai vowels", "กิน", "กีน", "กึน", "กุน", "กูน"),
    *apart("Thai tones", "ขาว", "ข่าว", "ข้าว"),
    *apart("Thai, tone on the last letter", "เสือ", "เสื่อ", "เสื้อ"),
    *apart("Thai sara am", "นำ", "น้ำ"),
    *apart("Lao vowels", "ກິນ", "ກີນ", "ກຸນ"),
    *apart("Khmer vowels", "កិន", "កីន", "កុន"),
    *apart("Khmer subscript", "ខមែរ", "ខ្មែរ"),
    *apart("Myanmar vowels", "ကိန", "ကီန", "ကုန"),
    *apart("Tibetan vowels", "ཆུ་", "ཆེ་", "ཆི་"),
    *apart("Devanagari vowels", "किल", "कील", "कुल", "कूल"),
    *apart("Devanagari virama", "कर", "क्र"),
    *apart("Devanagari nukta", "कलम", "क़लम"),
    *apart("Devanagari anusvara", "हस", "हंस"),
    *apart("Bengali vowels", "দিন", "দীন"),
    *apart("Bengali virama", "কর", "ক্র"),
    *apart("Bengali, letter with dot", "পাডা", "পাড়া"),
    *apart("Tamil vowels", "கில", "கீல", "குல"),
    *apart("Tamil virama inside a word", "பலி", "பல்லி"),
    *apart("Gujarati vowels", "દિન", "દીન"),
    *apart("Gurmukhi addak", "ਪਕਾ", "ਪੱਕਾ"),
    *apart("Telugu vowels", "కిల", "కీల"),
    *apart("Kannada vowels", "ಕಿಲ", "ಕೀಲ"),
    *apart("Malayalam vowels", "കില", "കീല"),
    *apart("Sinhala vowels", "කිල", "කීල"),
    *apart("Thaana vowels", "ދިވެ", "ދުވެ"),
    *apart("Syriac marks are kept", "ܫܠܡܐ", "ܫܠܳܡܐ"),
)

CASES: tuple[Case, ...] = (
    *_COMPOSED,
    *decomposed(_COMPOSED),
    Case("हिन्दी किताब", "किताब", True, "a word of Devanagari"),
    Case("हिन्दी किताब", "हिन्द", True, "its beginning"),
    Case("क़लम", "क़लम", True, "nukta composed and decomposed"),
    Case("தமிழ் புத்தகம்", "புத்தகம்", True, "a word of Tamil"),
    Case("বাংলা বই", "বই", True, "a word of Bengali"),
    Case("བོད་ཡིག", "ཡིག", True, "Tibetan marks the end of a syllable"),
    Case("བོད་ཡིག", "བོད ཡིག", True, "Tibetan marks the end of a syllable"),
    Case("ክፍል", "ክፍል", True, "a word of Ethiopic"),
)
