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
    plain = plain_letters(text.replace("'s ", " ").replace("’s ", " "))
    spaced = "".join(letter if letter.isalnum() else " " for letter in plain)
    return tuple(_singular(word) for word in spaced.split())


def plain_letters(text: str) -> str:
    """A text in small letters without accents, each in its simplest form."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def holds(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether a phrase stands in a text, its words side by side."""
    return place_of(words, phrase) >= 0


def place_of(words: tuple[str, ...], phrase: tuple[str, ...]) -> int:
    """Where a phrase begins in a text; -1 where it does not stand in it."""
    length = len(phrase)
    if not length:
        return -1
    return next((at for at in range(len(words) - length + 1) if words[at : at + length] == phrase), -1)


def _singular(word: str) -> str:
    if len(word) > 3 and word.isascii() and word.endswith("s") and not word.endswith(_NOT_PLURAL):
        return word[:-1]
    return word
