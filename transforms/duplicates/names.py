"""What a record calls its matter, made comparable: the words that carry meaning, and those that must not differ.

Two records of one matter seldom use one wording: `Diabetes mellitus type 2 (disorder)`, `Type 2 diabetes mellitus
without complications`. What is left of both, once forms of speech are gone, is compared as sets of words; numbers,
sides, specimens and the like are kept apart as marks, which never may contradict each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from transforms.duplicates.vocabulary import vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEPT: Final = 65_536
"""How many different wordings a process keeps; a group of people has a few thousand."""
_TAG: Final = re.compile(
    r"\((?:disorder|finding|procedure|situation|substance|product|organism|regime/therapy|"
    r"environment|qualifier value|observable entity|morphologic abnormality|event|person|"
    r"medicinal product|body structure|physical object)\)",
    re.IGNORECASE,
)
"""The semantic tag of a SNOMED CT fully specified name."""
_WORD: Final = re.compile(r"[a-z]+(?:'s\b)?|\d+(?:\.\d+)?")
_ROMAN: Final = {"i": "1", "ii": "2", "iii": "3", "iv": "4"}
_NUMBERED: Final = re.compile(r"\b(type|stage|grade|class|factor|degree|phase)\s+(i{1,3}|iv)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Name:
    """A wording. `words` carry its meaning, `weak` ones only colour it, `marks` are the kinds of words that decide."""

    words: frozenset[str]
    weak: frozenset[str]
    numbers: frozenset[str]
    marks: frozenset[tuple[str, str]]
    """(kind, which): `("side", "left")`, `("specimen", "urine")`."""

    @property
    def key(self) -> str:
        """What wordings that say the same have in common. Empty: it says nothing."""
        return self.keyed(self.words | self.weak)

    @property
    def strong_key(self) -> str:
        """The same without what only colours a wording: where a value or more is compared beside it."""
        return self.keyed(self.words)

    def keyed(self, said: frozenset[str]) -> str:
        """A key of some of its words."""
        marks = sorted(which for _, which in self.marks if which not in vocabulary().usual)
        return " ".join([*sorted(said), *sorted(self.numbers), *marks]) if self.words else ""


NOTHING: Final = Name(frozenset(), frozenset(), frozenset(), frozenset())


@lru_cache(maxsize=_KEPT)
def name_of(text: str) -> Name:
    """A wording, read."""
    known = vocabulary()
    plain = _TAG.sub(" ", text).lower()
    plain = _NUMBERED.sub(lambda found: f"{found[1]} {_ROMAN[found[2].lower()]}", plain)
    for phrase, instead in known.phrases:
        plain = phrase.sub(instead, plain)
    words, weak, numbers, marks, silent = set(), set(), set(), set(), set()
    for found in _WORD.findall(plain):
        word = known.instead.get(found, found).removesuffix("'s")
        word = known.instead.get(singular(word), singular(word))
        if word in known.marks:
            marks.add((known.marks[word], word))
        elif word[0].isdigit():
            numbers.add(f"{float(word):g}")
        elif word in known.weak:
            weak.add(word)
        elif word in known.silent:
            silent.add(word)
        else:
            words.add(word)
    # What says little is all that `Abnormal finding` or `Allergy to substance` say.
    said = words or weak or silent
    return Name(frozenset(said), frozenset(weak if words else ()), frozenset(numbers), frozenset(marks))


def singular(word: str) -> str:
    """A word without the ending of an English plural: `tablets`, `allergies`, `berries`."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and word[-2] not in "sui":
        return word[:-1]
    return word


def contradict(one: Name, other: Name, kinds: Iterable[str]) -> bool:
    """Whether two wordings cannot mean one matter: another number, side, specimen, or one that tells of the past.

    Args:
        kinds: the kinds of marks that count.
    """
    if one.numbers and other.numbers and one.numbers.isdisjoint(other.numbers):
        return True
    if one.marks == other.marks:
        return False
    known = vocabulary()
    for kind in kinds:
        mine = {which for own, which in one.marks if own == kind}
        theirs = {which for own, which in other.marks if own == kind}
        if mine != theirs and (kind in known.decisive or (mine and theirs and mine.isdisjoint(theirs))):
            return True
    return False


def likeness(one: Name, other: Name) -> float:
    """How much of the shorter wording stands in the other, 0 to 1; words that are one but for the ending count."""
    short, long = sorted((one.words, other.words), key=len)
    if not short:
        return 0.0
    shared = sum(1 for word in short if word in long or _akin(word, long))
    return shared / len(short)


def refines(one: Name, other: Name) -> float:
    """How much of the longer wording the shorter is, where it only adds to it; else 0: `sub-` is not `supra-`."""
    short, long = sorted((len(one.words), len(other.words)))
    return short / long if short and likeness(one, other) >= 1.0 else 0.0


def _akin(word: str, words: frozenset[str]) -> bool:
    """Whether one of the words has the same stem: six letters at least (`hypertensive`, `hypertension`)."""
    return len(word) >= 7 and any(len(other) >= 7 and other[:7] == word[:7] for other in words)
