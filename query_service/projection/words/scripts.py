"""Character ranges of scripts and of ignored characters, as text for the classes of `re`.

The ranges are those of Unicode's property Script (letters and marks), listed with `\\p{Script=…}` of Perl 5.36. Gaps
without characters are closed. Han covers its two planes whole, so ideographs of later Unicode versions are letters too.
`tests/unit/query_service/test_scripts.py` compares the ranges with the names of all characters.
"""

from __future__ import annotations

#: The Unicode version of the ranges.
UNICODE = "14.0.0"

_HAN = "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufad9"
_MORE_HAN = "\U00016fe2\U00016fe3\U00016ff0\U00016ff1\U00020000-\U0003fffd"
_KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\U0001aff0-\U0001b167"
_BOPOMOFO = "\u02ea\u02eb\u3105-\u312f\u31a0-\u31bf"
#: Includes the tone marks that are written next to ideographs and syllables.
_HANGUL = "\u1100-\u11ff\ua960-\ua97c\uac00-\ud7fb\u302a-\u302f"
_THAI, _LAO, _KHMER = "\u0e01-\u0e3a\u0e40-\u0e4e", "\u0e81-\u0ecd\u0edc-\u0edf", "\u1780-\u17d3\u17d7\u17dc\u17dd"
_MYANMAR = "\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a-\uaa7f"
#: Scripts with no spaces between words, or with optional ones.
UNSPACED = _HAN + _MORE_HAN + _KANA + _BOPOMOFO + _HANGUL + _THAI + _LAO + _KHMER + _MYANMAR

ARABIC = "\u0610-\u061a\u0620-\u065f\u066e-\u06d3\u06d5-\u06dc\u06df-\u06e8\u06ea-\u06ef\u06fa-\u06fc\u06ff"
_MORE_ARABIC = (
    "\u0750-\u077f\u0870-\u0887\u0889-\u088e\u0898-\u08e1\u08e3-\u08ff\ufb50-\ufdfb\ufe70-\ufefc\U0001ee00-\U0001eebb"
)
HEBREW = "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7-\u05f2\ufb1d-\ufb4f"
_CYRILLIC = "\u0400-\u052f\u1c80-\u1c88\u1d2b\u1d78\u2de0-\u2dff\ua640-\ua672\ua674-\ua67d\ua67f-\ua69f"
_GREEK = "\u0370-\u0373\u0376-\u037d\u037f\u0386\u0388-\u03e1\u03f0-\u03ff\u1d26-\u1d2a\u1f00-\u1ffc\u2126\uab65"
_LATIN = "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02b8\u02e0-\u02e4\u1d00-\u1dbf\u1e00-\u1eff"
_MORE_LATIN = (
    "\u2071\u207f\u2090-\u209c\u2132\u214e\u2183\u2184\u2c60-\u2c7f\ua722-\ua7ff\uab30-\uab64\uab66-\uab69"
    "\U0001df00-\U0001df1e"
)
#: Scripts in which a mark is an accent, which searches ignore.
ACCENTED = _LATIN + _MORE_LATIN + _GREEK + _CYRILLIC + HEBREW + ARABIC + _MORE_ARABIC

#: The marks of the accented scripts, and marks without a script of their own (Inherited).
ACCENTS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0898-\u089f\u08ca-\u08e1\u08e3-\u08ff\u1ab0-\u1aff"
    "\u1dc0-\u1dff\u20d0-\u20f0\u2de0-\u2dff\ua66f-\ua672\ua674-\ua67d\ua69e\ua69f\ufb1e\ufe20-\ufe2f"
    "\U0001d242-\U0001d244"
)
#: The zero-width non-joiner. Persian writes it between parts of a word.
NON_JOINER = "\u200c"
#: Unicode's property Default_Ignorable_Code_Point: invisible characters, which never end a word.
IGNORED = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
#: All other format characters (category Cf). Some are visible: signs before numbers in Arabic, Syriac and Kaithi.
OTHER_FORMATS = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
TATWEEL = "\u0640"
#: Characters that searches ignore: they neither separate nor join words.
UNSEEN = IGNORED + OTHER_FORMATS + TATWEEL
