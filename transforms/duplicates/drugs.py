"""Drugs by name: which ingredients, how strong. RxNorm's levels, labels and NDC listings name one drug in many ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from transforms.duplicates.names import singular
from transforms.duplicates.vocabulary import vocabulary

_KEPT: Final = 16_384
_BRACKETS: Final = re.compile(r"\[[^\]]*\]|\([^)]*\)")
_STRENGTH: Final = re.compile(
    r"(\d+(?:[.,]\d+)?)\s*(mcg|ug|mg|g|unt|units?|iu|meq|mmol|%)(?![a-z])"
    r"(?:\s*/\s*(\d+(?:\.\d+)?)?\s*(ml|l|actuat|hr|hour|dose|mg|g)\b)?"
)
_IN_MILLIGRAMS: Final = {"mcg": 0.001, "ug": 0.001, "mg": 1.0, "g": 1000.0}
_WORD: Final = re.compile(r"[a-z][a-z0-9-]*")
_CLOSE: Final = 0.03
"""Strengths are one within this share: 0.83 mg/mL is sold as 2.5 mg/3 mL."""


@dataclass(frozen=True, slots=True)
class Drug:
    """A drug as its name tells it. `strengths` are amounts (mg, or units), sorted; none, where the name has none."""

    ingredients: frozenset[str]
    strengths: tuple[float, ...]


@lru_cache(maxsize=_KEPT)
def drug_of(text: str) -> Drug:
    """A name, read: brand names give way to their ingredients; salts, forms and packs are no ingredients."""
    known = vocabulary()
    plain = text.lower().replace(",", " , ")
    plain = re.sub(r"(?<=\d) , (?=\d{3}\b)", "", plain)
    words = _ingredients(_BRACKETS.sub(" ", plain)) or _ingredients(plain)
    salts_too = words
    words = words - known.salts or salts_too
    strengths = {_amount(*found) for found in _STRENGTH.findall(plain)}
    return Drug(frozenset(words), tuple(sorted(strengths)))


def _ingredients(plain: str) -> frozenset[str]:
    known = vocabulary()
    found: set[str] = set()
    left = _STRENGTH.sub(" ", plain)
    for brand, made in known.brands.items():
        if " " in brand and brand in left:
            left = left.replace(brand, " ")
            found.update(made)
    for word in _WORD.findall(left):
        plain_word = singular(word)
        if word in known.brands:
            found.update(known.brands[word])
        elif plain_word not in known.forms and word not in known.forms and (len(word) > 2 or word in {"v", "g", "b"}):
            found.add(plain_word)
    return frozenset(found)


def _amount(number: str, unit: str, per: str, volume: str) -> float:
    amount = float(number.replace(",", ".")) * _IN_MILLIGRAMS.get(unit, 1.0)
    divisor = float(per) if per else 1.0
    if volume == "l":
        divisor *= 1000.0
    return amount / divisor if divisor else amount


def same_ingredients(one: Drug, other: Drug) -> bool:
    """Whether both names hold the same ingredients."""
    if not one.ingredients or not other.ingredients:
        return False
    if one.ingredients == other.ingredients:
        return True
    few, many = sorted((one.ingredients, other.ingredients), key=len)
    # A word more (`oxycodone`, `roxicodone intensol`) is a form that no list has, unless it is an ingredient with a
    # strength of its own.
    of_one = len(one.strengths) == len(other.strengths) == 1
    return of_one and few < many and len(few) == 1 and len(many) == 2


def strengths_agree(one: Drug, other: Drug) -> bool:
    """Whether the strengths are the same, or one of the names has none."""
    if not one.strengths or not other.strengths:
        return True
    if len(one.strengths) != len(other.strengths):
        return any(_close(mine, theirs) for mine in one.strengths for theirs in other.strengths)
    return all(_close(mine, theirs) for mine, theirs in zip(one.strengths, other.strengths, strict=True))


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= _CLOSE * max(one, other)
