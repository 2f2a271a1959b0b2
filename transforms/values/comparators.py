"""Comparators of quantities as SQL: the known ones, and what servers write instead."""

from __future__ import annotations

from typing import Final

UNKNOWN_COMPARATOR: Final = "unknown-comparator"
KNOWN: Final = ("<", "<=", ">=", ">", "ad")
"""FHIR's `quantity-comparator`; `ad` (enough for the total) is R5's."""

REMARKS: Final = {
    UNKNOWN_COMPARATOR: "The comparator is none that FHIR has: it is shown as sent, nothing is read into it."
}

_SIGNS: Final = (
    (r"&(lt|#0*60|#x0*3c);", "<"),
    (r"&(gt|#0*62|#x0*3e);", ">"),
    (r"&(#0*61|#x0*3d|equals);", "="),
    (r"&(amp|#0*38|#x0*26);", "&"),
    (r"&(nbsp|#0*160|#x0*a0);", " "),
    ("≤|⩽|≦", "<="),
    ("≥|⩾|≧", ">="),
    (r"[‐‑‒–—−]", "-"),
    (r"[\s\x{00A0}\x{2000}-\x{200A}\x{202F}\x{3000}]+", " "),
)
"""Signs as pages and word processors write them, and the plain one of each."""


def plain(text: str) -> str:
    """A text with plain signs and single spaces: SQL over the SQL of a text."""
    sql = text
    for pattern, sign in _SIGNS:
        sql = f"regexp_replace({sql}, '{pattern}', '{sign}', 'gi')"
    return f"CASE WHEN regexp_matches({text}, '[^ -~]|&|  ') THEN trim({sql}) ELSE trim({text}) END"


_SPACE: Final = r"[\s\x{00A0}\x{2000}-\x{200A}\x{202F}\x{3000}]*"
_LESS, _GREATER, _EQUAL = (
    rf"(?:{sign}|&(?:amp;)*(?:{names});)"
    for sign, names in (("<", "lt|#0*60|#x0*3c"), (">", "gt|#0*62|#x0*3e"), ("=", "equals|#0*61|#x0*3d"))
)
_WRITTEN: Final = {
    "<=": f"[≤⩽≦]|{_LESS}{_SPACE}{_EQUAL}|{_EQUAL}{_SPACE}{_LESS}",
    ">=": f"[≥⩾≧]|{_GREATER}{_SPACE}{_EQUAL}|{_EQUAL}{_SPACE}{_GREATER}",
    "<": _LESS,
    ">": _GREATER,
    "ad": "ad",
}
"""How each is written, as one pattern: many quantities of a table are read by it, and each step of SQL is planned."""


def known(text: str) -> str:
    """The comparator that a text is, or NULL: `≤`, `&lt;`, `=<` and `< =` are read, words are not."""
    cases = " ".join(
        f"WHEN regexp_full_match({text}, '{_SPACE}(?:{pattern}){_SPACE}', 'i') THEN '{each}'"
        for each, pattern in _WRITTEN.items()
    )
    return f"CASE {cases} END"


def comparator(text: str) -> str:
    """`STRUCT(comparator VARCHAR, remark VARCHAR)`: a known comparator, or the text as sent with a remark.

    NULL where none was sent. A number with any comparator, known or not, is no exact number.
    """
    return (
        f"CASE WHEN trim({text}) <> '' THEN struct_pack(comparator := coalesce({known(text)}, {text}),"
        f" remark := CASE WHEN {known(text)} IS NULL THEN '{UNKNOWN_COMPARATOR}' END) END"
    )
