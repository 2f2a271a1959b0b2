"""How people's words and records' words are made comparable: letters and digits, in small, without accents."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

_KEPT: Final = 16_384
_NOT_PLURAL: Final = ("ss", "us", "is", "as")


@lru_cache(maxsize=_KEPT)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a text: case, accents, punctuation, possessives and plurals make no difference."""
    plain = unicodedata.normalize("NFKD", text.replace("'s ", " ").replace("’s ", " ")).casefold()
    spaced = "".join(letter if letter.isalnum() else "" if unicodedata.combining(letter) else " " for letter in plain)
    return tuple(_singular(word) for word in spaced.split())


def holds(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether a phrase stands in a text, its words side by side."""
    return place_of(words, phrase) >= 0


def place_of(words: tuple[str, ...], phrase: tuple[str, ...]) -> int:
    """Where a phrase begins in a text; -1 where it does not stand in it."""
    length = len(phrase)
    if not length:
        return -1
    return next((at for at in range(len(words) - length + 1) if words[at : at + length] == phrase), -1)


def distance(one: str, other: str, most: int) -> int:
    """How many letters are to be put in, left out, changed, or changed places with the next (optimal string alignment).

    Beyond `most` it is `most + 1`.
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        earlier, before = before, row
        row = [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def _singular(word: str) -> str:
    if len(word) > 3 and word.isascii() and word.endswith("s") and not word.endswith(_NOT_PLURAL):
        return word[:-1]
    return word
