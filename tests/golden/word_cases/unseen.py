"""What nobody sees neither cuts nor joins words."""

from __future__ import annotations

from tests.golden.word_cases.case import Case, Place

#: Every kind of character that shows nothing of its own.
UNSEEN = {
    "SOFT HYPHEN": "\u00ad",
    "COMBINING GRAPHEME JOINER": "\u034f",
    "ARABIC LETTER MARK": "\u061c",
    "HANGUL CHOSEONG FILLER": "\u115f",
    "HANGUL JUNGSEONG FILLER": "\u1160",
    "KHMER VOWEL INHERENT AQ": "\u17b4",
    "MONGOLIAN FREE VARIATION SELECTOR ONE": "\u180b",
    "MONGOLIAN VOWEL SEPARATOR": "\u180e",
    "ZERO WIDTH SPACE": "\u200b",
    "ZERO WIDTH NON-JOINER": "\u200c",
    "ZERO WIDTH JOINER": "\u200d",
    "LEFT-TO-RIGHT MARK": "\u200e",
    "RIGHT-TO-LEFT MARK": "\u200f",
    "LEFT-TO-RIGHT EMBEDDING": "\u202a",
    "POP DIRECTIONAL FORMATTING": "\u202c",
    "RIGHT-TO-LEFT OVERRIDE": "\u202e",
    "WORD JOINER": "\u2060",
    "INVISIBLE TIMES": "\u2062",
    "INVISIBLE SEPARATOR": "\u2063",
    "FIRST STRONG ISOLATE": "\u2068",
    "POP DIRECTIONAL ISOLATE": "\u2069",
    "NOMINAL DIGIT SHAPES": "\u206f",
    "HANGUL FILLER": "\u3164",
    "VARIATION SELECTOR-1": "\ufe00",
    "VARIATION SELECTOR-16": "\ufe0f",
    "ZERO WIDTH NO-BREAK SPACE": "\ufeff",
    "HALFWIDTH HANGUL FILLER": "\uffa0",
    "INTERLINEAR ANNOTATION ANCHOR": "\ufff9",
    "INTERLINEAR ANNOTATION TERMINATOR": "\ufffb",
    "MUSICAL SYMBOL BEGIN BEAM": "\U0001d173",
    "TAG LATIN SMALL LETTER A": "\U000e0061",
    "VARIATION SELECTOR-17": "\U000e0100",
}

CASES: tuple[Case, ...] = (
    *(Case(f"tea{unseen}pot", "teapot", True, f"{name} does not cut") for name, unseen in UNSEEN.items()),
    *(Case("teapot", f"tea{unseen}pot", True, f"{name} does not cut") for name, unseen in UNSEEN.items()),
    *(Case(f"tea {unseen} pot", "teapot", False, f"{name} does not join") for name, unseen in UNSEEN.items()),
    *(Case(f"{unseen}tea{unseen}", "tea", True, f"{name} around a word") for name, unseen in UNSEEN.items()),
    *(
        Case(stored, asked, True, f"{name} in a phone number", Place.PHONE)
        for name, unseen in (UNSEEN | {"ARABIC TATWEEL": "\u0640"}).items()
        for number in (f"+49 ({unseen}30) 1{unseen}23-{unseen}456{unseen}",)
        for stored, asked in (("+49 (30) 123-456", number), (number, "030123456"), ("004930123456", number))
    ),
    *(Case(f"café{unseen}s", "cafe\u0301s", True, f"{name} behind an accent") for name, unseen in UNSEEN.items()),
    Case("teapot", "\u202dtea\u202c", True, "copied from a page with marks of direction"),
    Case("tea\u200bpot", "pot", False, "no word begins there"),
    Case("e\u034f\u0301clair", "eclair", True, "a joiner between a letter and its accent"),
    Case("I ❤️ NY", "i ny", True, "a symbol cuts, its variation selector is nothing"),
    Case("I❤️NY", "ny", True, "a symbol cuts, its variation selector is nothing"),
    Case("Café ☕️ Wien", "cafe wien", True, "an emoji in a name"),
    Case("Café ☕️ Wien", "cafe☕wien", True, "an emoji asked for like a space"),
    Case("👨‍👩‍👧 Family pack", "family pack", True, "joined emoji are no word"),
    Case("Team 🏴󠁧󠁢󠁥󠁮󠁧󠁿 scarf", "team scarf", True, "a flag of tags is no word"),
    Case("1️⃣ Starter", "1 starter", True, "a key cap is its digit"),
    Case("葛\U000e0100城", "葛城", True, "an ideograph with the variant it is to be shown as"),
    Case("葛城", "葛\ufe00城", True, "an ideograph with the variant it is to be shown as"),
    Case("葛\U000e0100城", "城", True, "the rest of the run behind a variant"),
    # Tatweel only makes a word wider.
    Case("محـــمد", "محمد", True, "tatweel"),
    Case("محمد", "محـمد", True, "tatweel"),
    Case("ـمحمد", "محمد", True, "tatweel before a word"),
    Case("ինչո՞ւ", "ինչու", True, "Armenian asks inside a word"),
    # Persian writes the non-joiner inside words. People type it, a space, or nothing.
    Case("می‌خواهم", "می‌خواهم", True, "non-joiner as written"),
    Case("می‌خواهم", "میخواهم", True, "non-joiner left out"),
    Case("می‌خواهم", "می خواهم", True, "a space for the non-joiner"),
    Case("می‌خواهم", "خواهم", True, "the part behind it"),
    Case("میخواهم", "می‌خواهم", True, "written together"),
    Case("می خواهم", "می‌خواهم", True, "written apart"),
    Case("می خواهم", "میخواهم", False, "two words are not looked for as one"),
    Case("کتاب‌ها", "کتابها", True, "plural"),
    Case("کتاب‌ها", "کتاب", True, "singular"),
    Case("نیم‌فاصله‌ها", "نیم فاصله ها", True, "three parts"),
    Case("نیم‌فاصله‌ها", "فاصله", True, "the middle part"),
    # Other scripts use joiners for looks.
    Case("क्‌ष", "क्ष", True, "non-joiner in Devanagari shows a conjunct another way"),
    Case("क्ष", "क्‍ष", True, "joiner in Devanagari shows a conjunct another way"),
    Case("ශ්‍රී ලංකා", "ශ්රී", True, "joiner in Sinhala"),
    Case("র‍্যাব", "র্যাব", True, "joiner in Bengali"),
    Case("Auf‌lage", "auflage", True, "non-joiner in Latin keeps letters from forming a ligature"),
    Case("Auflage", "auf‌lage", True, "non-joiner in Latin keeps letters from forming a ligature"),
)
