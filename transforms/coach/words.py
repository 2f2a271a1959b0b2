"""A text as words: folded, so that case, accents, apostrophes and slips of the keyboard do not count."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from rapidfuzz.distance import OSA

from transforms.coach.wording import plain_letters

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_APOSTROPHES = re.compile("['`´‘’ʼ]")
_WORD = re.compile(r"[^\W_]+")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_ENDS = re.compile(r"[.?!;\n]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SHORTEST = 5
"""Letters of a word that may be misspelt: among shorter ones, one other letter is mostly another word."""
_LONG = 9
"""Letters from which two slips are forgiven."""
STEM, SUFFIX = "*", "~"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Phrases to look for, each a tuple of patterns (`word`, `stem*`, `~suffix`); and those that shield them."""

    phrases: tuple[tuple[str, ...], ...]
    not_in: tuple[tuple[str, ...], ...] = ()


def fold(text: str) -> list[tuple[str, ...]]:
    """The words of a text, folded, each in the forms that it may be meant in: `Can’t  BREATHEEEE` is `cant`, and
    `breathe` or `breathee`."""
    plain = plain_letters(_INVISIBLE.sub("", text))
    return [_forms(word) for word in _WORD.findall(_APOSTROPHES.sub("", plain))]


def _forms(word: str) -> tuple[str, ...]:
    if not _DRAWN_OUT.search(word):
        return (word,)
    return (_DRAWN_OUT.sub(r"\1", word), _DRAWN_OUT.sub(r"\1\1", word))


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, roughly: what an exception in one says nothing of in another."""
    return (part for part in _ENDS.split(text) if part.strip())


class Words:
    """The words of one text, and where phrases stand in it."""

    def __init__(self, text: str) -> None:
        self._words = fold(text)
        self._places: dict[str, list[int]] = {}
        for place, forms in enumerate(self._words):
            for word in forms:
                self._places.setdefault(word, []).append(place)
        self._by_letter: dict[str, list[str]] = {}
        for word in self._places:
            self._by_letter.setdefault(word[0], []).append(word)
        self._found: dict[str, frozenset[int]] = {}

    def __len__(self) -> int:
        return len(self._words)

    def spans(self, lexicon: Lexicon) -> list[tuple[int, int]]:
        """Where one of the phrases stands: its first and its last word, in order. Not inside a phrase of `not_in`."""
        if not self._words:
            return []
        shielded = {
            place
            for phrase in lexicon.not_in
            for begin, end in self._stand(phrase, exactly=True)
            for place in range(begin, end + 1)
        }
        found = {span for phrase in lexicon.phrases for span in self._stand(phrase)}
        return sorted(span for span in found if not shielded.intersection(range(span[0], span[1] + 1)))

    def _stand(self, phrase: tuple[str, ...], *, exactly: bool = False) -> Iterable[tuple[int, int]]:
        """Where a phrase stands. What lets something pass must be there to the letter."""
        of = self._exactly if exactly else self._of
        first, *rest = phrase
        for place in of(first):
            if all(place + step in of(pattern) for step, pattern in enumerate(rest, start=1)):
                yield place, place + len(rest)

    def _exactly(self, word: str) -> Collection[int]:
        return self._places.get(word, ())

    def _of(self, pattern: str) -> frozenset[int]:
        known = self._found.get(pattern)
        if known is None:
            known = frozenset(place for word in self._alike(pattern) for place in self._places[word])
            self._found[pattern] = known
        return known

    def _alike(self, pattern: str) -> Iterable[str]:
        if pattern.startswith(SUFFIX):
            return [word for word in self._places if word.endswith(pattern[1:]) and len(word) >= len(pattern)]
        stem = pattern.removesuffix(STEM)
        # Hands slip within a word, seldom at its beginning, unless they change its first two letters about.
        resembling = (word for letter in {*stem[:2]} for word in self._by_letter.get(letter, ()))
        if pattern.endswith(STEM):
            return [word for word in resembling if word.startswith(stem) or _slipped(word[: len(stem)], stem, 1)]
        return [word for word in resembling if word == stem or _slipped(word, stem)]


def _slipped(word: str, meant: str, most: int = 2) -> bool:
    """Whether `word` is `meant` with a slip: a letter too many, too few, another one, or two changed about."""
    if len(meant) < _SHORTEST or word == meant or abs(len(word) - len(meant)) > 2 or word in _real():
        return False
    most = most if len(meant) >= _LONG else 1
    if word[:1] != meant[:1] and word[:2] != meant[1::-1]:
        return False
    return OSA.distance(word, meant, score_cutoff=most) <= most


@cache
def _real() -> Collection[str]:
    from transforms.coach.guard_rules import real_words

    return real_words()
