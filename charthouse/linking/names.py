"""Names made comparable: the words of a name without what people and systems write differently. Pure.

Two foldings of every word: accents dropped (`Müller` → muller) and accents written out as passports do (ICAO 9303
part 3 §6: `Müller` → mueller). Two words are the same when some folding of the one is some folding of the other.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Folding = Literal["plain", "written out"]
FOLDINGS: Final[tuple[Folding, ...]] = ("plain", "written out")

MOST_WORDS: Final = 16
"""Words of a text that are read as a name; a longer text is none."""

TITLES: Final = frozenset(["dr", "prof", "mr", "mrs", "ms", "miss", "mx", "rev"])
DEGREES: Final = frozenset(["md", "phd", "dds", "dmd", "rn", "np", "esq", "jd", "mba", "dvm", "pharmd"])
GENERATIONS: Final = {
    "jr": "jr",
    "junior": "jr",
    "sr": "sr",
    "senior": "sr",
    "ii": "ii",
    "2nd": "ii",
    "iii": "iii",
    "3rd": "iii",
    "iv": "iv",
    "4th": "iv",
}
ENDINGS: Final = DEGREES.union(GENERATIONS)
PLACEHOLDERS: Final = frozenset(["fnu", "lnu", "nfn", "nln", "nmn", "nmi"])
"""What systems write for a part that a person does not have: first, last or middle name unknown, none."""

_LETTERS: Final = {
    "ø": "o",
    "đ": "d",
    "ł": "l",
    "ħ": "h",
    "ı": "i",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ð": "d",
    "ё": "е",
}
_WRITTEN_OUT: Final = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"}
_BARE: Final = ("LATIN", "GREEK", "ARABIC", "HEBREW")
"""Scripts whose marks are accents, or vowels that may be left out; elsewhere a mark makes another letter."""
_ALPHABETS: Final = ("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "HEBREW", "ARABIC")
_DASHES: Final = re.compile(r"[-\u00ad\u058a\u2010-\u2015\u2212\ufe58\ufe63\uff0d_/]")
_APOSTROPHES: Final = re.compile("['`´ʹʻʼʽʾʿˈ\u2018\u2019\u201b\u2032\uff07]")


@dataclass(frozen=True, slots=True, repr=False)
class Reading:
    """A name as two lists of words, folded one way. A word is what hyphens join: `jeanpierre`."""

    family: str
    """All words of the family name as one."""
    given: tuple[str, ...]
    words: tuple[str, ...]
    """Every word of the name, hyphens taken apart, sorted."""
    generations: frozenset[str]

    def __repr__(self) -> str:
        return "Reading(…)"


def read_parts(family: str, given: Sequence[str], suffix: Sequence[str]) -> Iterator[Reading]:
    """A name that came in its parts, in both foldings."""
    for folding in FOLDINGS:
        called = [word for text in given for word in _words(text, folding)]
        called, behind = _without_endings(_without_titles(called), frozenset(GENERATIONS))
        named, more = _without_endings(_words(family, folding), ENDINGS)
        said = {word for text in suffix for word in _words(text, folding)}
        yield _reading(named, called, _generations({*behind, *more, *said}))


def read_text(text: str) -> Iterator[Reading]:
    """A name that came as one text: every way of taking it apart into given and family names."""
    for folding in FOLDINGS:
        lists: list[list[str]] = []
        endings: set[str] = set()
        for part in text.split(","):
            words, behind = _without_endings(_without_titles(_words(part, folding)), ENDINGS)
            if lists and ENDINGS.issuperset(words):  # "Jane Smith, Jr., MD"
                behind, words = [*behind, *words], []
            endings |= set(behind)
            if words:
                lists.append(words)
        if not lists or sum(map(len, lists)) > MOST_WORDS:
            return
        generations = _generations(endings)
        family, *others = lists
        if others:
            yield _reading(family, [word for words in others for word in words], generations)
        elif len(family) == 1:
            yield _reading(family, [], generations)
        else:
            for cut in range(1, len(family)):
                yield _reading(family[cut:], family[:cut], generations)
                yield _reading(family[:cut], family[cut:], generations)


def is_initial(word: str) -> bool:
    """Whether a word is one letter of an alphabet. A single Han character is a whole name."""
    return len(word) == 1 and has_alphabet(word)


def has_alphabet(word: str) -> bool:
    """Whether some sign is a letter of an alphabet that writes names with spaces between their words."""
    return any(unicodedata.name(sign, "").startswith(_ALPHABETS) for sign in word)


def plain(text: str) -> list[str]:
    """The words of a text without case, accents, hyphens and apostrophes, for searching."""
    return [part for word in _words(text, "plain") for part in word.split("-")]


def _reading(family: list[str], given: list[str], generations: frozenset[str]) -> Reading:
    parts = [part for word in [*family, *given] for part in word.split("-") if part]
    return Reading(
        family="".join(word.replace("-", "") for word in family),
        given=tuple(word.replace("-", "") for word in given),
        words=tuple(sorted(parts)),
        generations=generations,
    )


def _words(text: str, folding: Folding) -> list[str]:
    """The words of a text, folded: hyphens kept as `-`, apostrophes gone, a full stop ends a word."""
    text = _DASHES.sub("-", _folded(text, folding))
    text = _APOSTROPHES.sub("", text)
    words = []
    for word in re.sub(r"\s*-\s*", "-", text).split():
        bare = word.replace(".", "")
        known = bare in TITLES or bare in DEGREES or bare in GENERATIONS
        words += [bare] if known else [part.strip("-") for part in word.split(".")]
    kept = ("".join(sign for sign in word if sign.isalnum() or sign == "-" or _is_mark(sign)) for word in words)
    return [word for word in kept if word.strip("-") and word not in PLACEHOLDERS]


def _folded(text: str, folding: Folding) -> str:
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", text).casefold()
    text = unicodedata.normalize("NFC", text)
    if folding == "written out":
        text = "".join(_WRITTEN_OUT.get(sign, sign) for sign in text)
    text = "".join(_LETTERS.get(sign, sign) for sign in text)
    kept = []
    bare = False
    for sign in unicodedata.normalize("NFD", text):
        if _is_mark(sign):
            if not bare:
                kept.append(sign)
            continue
        if unicodedata.category(sign) == "Cf" and sign != "\u00ad":
            continue
        bare = unicodedata.name(sign, "").startswith(_BARE)
        kept.append(_LETTERS.get(sign, sign))
    return unicodedata.normalize("NFC", "".join(kept))


def _is_mark(sign: str) -> bool:
    return unicodedata.category(sign) in ("Mn", "Mc")


def _without_titles(words: list[str]) -> list[str]:
    """Words without the titles before them; the last word is never one."""
    while len(words) > 1 and words[0] in TITLES:
        words = words[1:]
    return words


def _without_endings(words: list[str], endings: frozenset[str]) -> tuple[list[str], list[str]]:
    """Words without what stands behind a name, and that; the first word stays."""
    cut = len(words)
    while cut > 1 and words[cut - 1] in endings:
        cut -= 1
    return words[:cut], words[cut:]


def _generations(words: Iterable[str]) -> frozenset[str]:
    return frozenset(GENERATIONS[word] for word in words if word in GENERATIONS)
