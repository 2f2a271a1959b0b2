"""Which rows are what was asked for: by code, by what the vocabulary knows, or by the words of their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from transforms.coach import vocabulary
from transforms.coach.results import Coding, LookedFor
from transforms.coach.vocabulary import Matter, short_code
from transforms.coach.wording import holds, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transforms.coach.facts import Row
    from transforms.coach.results import Category
    from transforms.coach.vocabulary import Kind

MOST_CODES: Final = 100
"""Codes that an answer names as looked for."""
_LOINC: Final = re.compile(r"[0-9]{1,7}-[0-9]")
_NUMBER: Final = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for: codes, matters, or words; the first of these that there are."""

    asked: str
    codes: frozenset[str]
    matters: tuple[Matter, ...]
    words: frozenset[str]
    spelled: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to look for: silent words alone, or signs."""
        return not (self.codes or self.matters or self.words)

    def told(self, categories: Sequence[Category]) -> LookedFor:
        """As an answer says it."""
        codes = self.codes or (self.matters[0].codes if self.matters else frozenset())
        return LookedFor(
            asked=self.asked,
            meant=[matter.title for matter in self.matters[:1]],
            codings=[_coding(code) for code in sorted(codes)[:MOST_CODES]],
            words=[" ".join(phrase) for phrase in self.matters[0].words] if self.matters else sorted(self.words),
            categories=list(categories),
            spelled=self.spelled,
        )


def question(asked: str, kinds: Sequence[Kind], systems: Sequence[str]) -> Question:
    """What is asked for: `system|code`, a code alone as one of `systems` has it, or a name."""
    text = asked.strip()
    if codes := _codes(text, systems):
        return Question(asked, codes, (), frozenset())
    understood = vocabulary.understand(text, kinds)
    silent = vocabulary.silent().union(*(vocabulary.silent_of(kind) for kind in kinds))
    words = frozenset(word for word in words_of(text) if word not in silent)
    return Question(asked, frozenset(), understood.matters, words, understood.spelled)


def codes_of(row: Row) -> set[str]:
    """Every code of a row, as `system|code`."""
    found = {short_code(each.system, each.code) for each in row.codings}
    found.add(short_code(row.system, row.code))
    return {code for code in found if code}


def names_of(row: Row) -> list[str]:
    """What a row is called: by its code, by its sender, by its other codings."""
    names = [row.display, row.text, *(each.display for each in row.codings)]
    return list(dict.fromkeys(name for name in names if name))


def is_of(row: Row, matter: Matter) -> bool:
    """Whether a row is of a matter: by its codes, or by its name where they say nothing that is known."""
    codes = codes_of(row)
    if codes & matter.codes:
        return True
    if any(code in vocabulary.claimed(matter.kind) for code in codes):
        return False
    return any(is_called(name, matter) for name in names_of(row))


def is_called(name: str, matter: Matter) -> bool:
    """Whether a name is one of a matter."""
    words = words_of(name)
    return any(holds(words, phrase) for phrase in matter.words) and matter.without.isdisjoint(words)


def matching(rows: Iterable[Row], asked: Question, matter: Matter | None = None) -> list[Row]:
    """The rows that are what was asked for: those of one matter, of the codes, or with all the words in a name."""
    if asked.codes:
        return [row for row in rows if codes_of(row) & asked.codes]
    if matter is not None:
        return [row for row in rows if is_of(row, matter)]
    if not asked.words:
        return []
    return [row for row in rows if any(asked.words <= set(words_of(name)) for name in names_of(row))]


def _codes(text: str, systems: Sequence[str]) -> frozenset[str]:
    system, bar, code = text.rpartition("|")
    if bar and code and not code.isspace():
        found = short_code(system, code.strip())
        return frozenset([found] if found else [])
    if "loinc" in systems and _LOINC.fullmatch(text):
        return frozenset([f"loinc|{text}"])
    if "cvx" in systems and _NUMBER.fullmatch(text):
        return frozenset({f"cvx|{text}", f"cvx|{text.zfill(2)}", f"cvx|{text.lstrip('0') or '0'}"})
    return frozenset()


def _coding(code: str) -> Coding:
    system, _, value = code.partition("|")
    return Coding(system=vocabulary.addresses().get(system, system) or None, code=value)
