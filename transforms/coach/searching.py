"""Search over everything: codes, names, texts, values, notes; and what the vocabulary knows to be meant."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

from transforms.coach import telling, vocabulary
from transforms.coach.matching import codes_of, is_of, names_of, question
from transforms.coach.results import Match, SearchResult
from transforms.coach.vocabulary import KINDS
from transforms.coach.wording import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transforms.coach.facts import PersonRecords, Row
    from transforms.coach.matching import Question
    from transforms.coach.results import Category, LookedFor
    from transforms.coach.telling import Group
    from transforms.coach.vocabulary import Kind, Matter

Where = Literal["code", "name", "text", "value", "note", "meaning"]
SHOWN: Final = 20
_CLOSEST: Final[tuple[Where, ...]] = ("code", "name", "meaning", "text", "value", "note")
CATEGORIES: Final[tuple[Category, ...]] = (
    "allergies", "conditions", "lab_results", "medications", "pregnancy", "procedures", "social_history", "vaccines",
    "visits", "vitals",
)  # fmt: skip
KIND_OF: Final[dict[str, Kind]] = {
    "lab_results": "results", "vitals": "results", "pregnancy": "results", "social_history": "results",
    "vaccines": "vaccines", "medications": "medications", "conditions": "conditions",
}  # fmt: skip
"""By which vocabulary the rows of a category are known."""


def search(records: PersonRecords, text: str) -> SearchResult:
    """Entries that say what is looked for: the closest first, then the newest.

    All words must stand in one entry. What is known by another name is found by its meaning.
    """
    asked = question(text, (), ("loinc",))
    meant = meanings(text)
    told = looked_for(asked, meant)
    if asked.is_empty and not meant:
        return SearchResult(found=False, looked_for=told)
    found: dict[Where, list[Group]] = {}
    for group in telling.folded(records.of(*CATEGORIES)):
        where = next((place for row in group if (place := _where(row, asked, meant))), None)
        if where is not None:
            found.setdefault(where, []).append(group)
    ordered = [(where, group) for where in _CLOSEST for group in telling.newest_first(found.get(where, ()))]
    return SearchResult(
        found=bool(ordered),
        looked_for=told,
        matches=[Match(fact=telling.fact(group), matched_in=where) for where, group in ordered[:SHOWN]],
        total=len(ordered),
        by_category=dict(Counter(group[0].table for _, group in ordered)),
    )


def meanings(text: str) -> tuple[Matter, ...]:
    """What a text is known to mean, in any vocabulary: one matter of each kind at most."""
    found = (vocabulary.understand(text, (kind,)).matters[:1] for kind in KINDS)
    return tuple(matter for several in found for matter in several)


def looked_for(asked: Question, meant: Iterable[Matter]) -> LookedFor:
    """What was looked for in all categories, as an answer says it."""
    return asked.told(CATEGORIES).model_copy(update={"meant": [matter.title for matter in meant]})


def _where(row: Row, asked: Question, meant: Iterable[Matter]) -> Where | None:
    codes = codes_of(row)
    if asked.codes:
        return "code" if asked.codes & codes else None
    wanted = asked.words
    if wanted:
        if wanted <= _said([row.display]):
            return "name"
        if len(wanted) == 1 and any(code.partition("|")[2].casefold() in wanted for code in codes):
            return "code"
    kind = KIND_OF.get(row.table)
    if any(matter.kind == kind and is_of(row, matter) for matter in meant):
        return "meaning"
    if not wanted:
        return None
    if wanted <= _said(names_of(row)):
        return "text"
    told = telling.value_of(row)
    if wanted <= _said([*names_of(row), told.shown if told else None, *row.details.values()]):
        return "value"
    return "note" if wanted <= _said([*names_of(row), *row.notes]) else None


def _said(texts: Iterable[str | None]) -> frozenset[str]:
    return frozenset(word for text in texts if text for word in words_of(text))
