"""Finds characters that are invisible, or that change how their neighbours are read.

Two ids that look equal must be equal. So identifiers of orders, customers and payments contain only visible characters.
Names and other free text may contain joiners and direction marks, which some scripts need. Such text must not contain
characters that begin a new line or reverse the order of a line, because they can forge what a reader sees.
"""

from __future__ import annotations

import re

#: C0, DEL, C1 and the two line separators. They can forge lines in logs and terminals, and mean nothing in an order.
_CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029"
#: Embeddings, overrides and isolates. Text after them is shown in another order than it is stored.
_DIRECTIONS = "\u202a-\u202e\u2066-\u2069"
#: White space other than the plain space, and signs that are shown as nothing: the Braille pattern without dots, the
#: object replacement character, the Khitan filler, the musical null notehead.
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000\ufffc\U00016fe4\U0001d159"
#: Unicode's format characters (Cf), those it calls default ignorable, and its noncharacters.
_UNSEEN = (
    "\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\uffff\ufffe\U000110bd"
    "\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
) + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
_FORGING = re.compile(f"[{_CONTROLS}{_DIRECTIONS}]")
_HIDDEN = re.compile(f"[{_CONTROLS}{_SPACES}{_UNSEEN}]")
_VISIBLE = re.compile(f"[^ {_CONTROLS}{_SPACES}{_UNSEEN}]")


def shows_something(text: str) -> bool:
    """Returns whether at least one character of the text is visible."""
    return _VISIBLE.search(text) is not None


def forging(text: str) -> str | None:
    """Returns the first character that breaks lines or changes the order of the text after it; None without one."""
    found = _FORGING.search(text)
    return found[0] if found else None


def hidden(text: str) -> str | None:
    """Returns the first character that is neither visible nor a plain space; None without one."""
    found = _HIDDEN.search(text)
    return found[0] if found else None
