"""The vocabulary by which names are compared: `schemas/duplicates/words.json`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words that say nothing (`silent`), that only colour (`weak`), that stand for others (`instead`), that decide."""

    silent: frozenset[str]
    weak: frozenset[str]
    instead: Mapping[str, str]
    phrases: tuple[tuple[re.Pattern[str], str], ...]
    marks: Mapping[str, str]
    """Word → the kind of mark that it is."""
    decisive: frozenset[str]
    """Kinds of marks of which both or neither must speak: what was, or runs in the family, is not what is."""
    usual: frozenset[str]
    """Marks that are meant where none of their kind is named: results are of blood."""
    kinds: Mapping[str, tuple[str, ...]]
    """Family → the kinds of marks that count for it."""
    salts: frozenset[str]
    forms: frozenset[str]
    """Of drugs: what names a salt, and the form in which they come."""
    brands: Mapping[str, tuple[str, ...]]
    """Brand → the ingredients' words."""


@cache
def content(name: str) -> dict[str, Any]:
    """A file of `schemas/duplicates/`."""
    text = files("schemas").joinpath("duplicates", f"{name}.json").read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    return read


@cache
def vocabulary() -> Vocabulary:
    """The whole of it."""
    words, drugs = content("words"), content("drugs")
    return Vocabulary(
        silent=frozenset(words["silent"]),
        weak=frozenset(words["weak"]),
        instead={each: instead for instead, several in words["instead"].items() for each in several},
        phrases=tuple(
            (re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(several, key=len, reverse=True)))})(?![a-z])"), instead)
            for instead, several in words["phrases"].items()
        ),
        marks={word: kind for kind, several in words["marks"].items() for word in several},
        decisive=frozenset(words["decisive"]),
        usual=frozenset(words["usual"]),
        kinds={family: tuple(several) for family, several in words["kinds"].items()},
        salts=frozenset(drugs["salts"]),
        forms=frozenset(drugs["forms"]),
        brands={brand: tuple(made.split()) for made, several in drugs["brands"].items() for brand in several},
    )
