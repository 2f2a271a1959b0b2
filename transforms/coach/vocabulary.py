"""What people say, and which codes it means: `schemas/coach/*.json`, over the code sets that are declared elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal

from rapidfuzz.distance import OSA

from transforms.coach.wording import words_of
from transforms.duplicates.vocabulary import content
from transforms.tables.systems import folded_address, short_names
from transforms.tables.value_sets import value_sets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind = Literal["results", "vaccines", "medications", "conditions"]
KINDS: Final[tuple[Kind, ...]] = ("results", "vaccines", "medications", "conditions")
Phrase = tuple[str, ...]
_ARTICLES: Final = frozenset("a")
LEAST_MISSPELT: Final = 5
"""Letters of a word that may be misspelt: of a shorter one, another word is as likely."""


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing that people ask for. `codes` are `system|code` by a system's short name (`schemas/systems.json`)."""

    id: str
    kind: Kind
    title: str
    says: frozenset[Phrase]
    codes: frozenset[str]
    words: tuple[Phrase, ...]
    """What is looked for in names where no code tells."""
    without: frozenset[str]
    """Words that a name must not have."""
    also: tuple[str, ...]
    """Other matters that are shown beside it, and never in its place."""
    parts: tuple[str, ...]
    """What a panel is made of: told also where the panel itself is not on record."""
    pair: tuple[str, str] | None
    """Two matters that are read together: the sides of a blood pressure."""
    source: str


@dataclass(frozen=True, slots=True)
class Understood:
    """What words were taken to mean."""

    matters: tuple[Matter, ...]
    spelled: str | None = None


@cache
def matters(kind: Kind) -> tuple[Matter, ...]:
    """Everything of a kind."""
    declared = _file(kind)
    return tuple(_matter(kind, entry, declared.get("source", "")) for entry in declared["matters"])


@cache
def matter(kind: Kind, name: str) -> Matter:
    """One by its id."""
    return next(each for each in matters(kind) if each.id == name)


@cache
def silent() -> frozenset[str]:
    """Words of a question that say nothing about what is asked for."""
    return frozenset(word for said in _file("words")["silent"] for word in words_of(said))


@cache
def silent_of(kind: Kind) -> frozenset[str]:
    """The same, and words that only say of what kind it is: `shot`, `level`."""
    return silent() | {word for said in _file("words")["of_kind"].get(kind, ()) for word in words_of(said)}


@cache
def claimed(kind: Kind) -> dict[str, tuple[Matter, ...]]:
    """Each code that is known, with the matters that it is of."""
    found: dict[str, list[Matter]] = {}
    for each in matters(kind):
        for code in each.codes:
            found.setdefault(code, []).append(each)
    return {code: tuple(several) for code, several in found.items()}


def understand(asked: str, kinds: Iterable[Kind]) -> Understood:
    """What words mean, by the vocabulary of some kinds; nothing, where something in them is not understood."""
    said = words_of(asked)
    for kind in kinds:
        index = _index(kind)
        # "hepatitis A": what is an article in most questions is a name in some.
        said_little = (silent() - _ARTICLES, silent_of(kind) - _ARTICLES, silent(), silent_of(kind))
        left = [tuple(word for word in said if word not in little) for little in said_little]
        bare = left[-1]
        for phrase in dict.fromkeys((said, *left)):
            if found := index.get(phrase):
                return Understood(_with_others(kind, found))
        if near := _near(bare, kind):
            return Understood(_with_others(kind, index[near]), " ".join(near))
    return Understood(())


def _with_others(kind: Kind, name: str) -> tuple[Matter, ...]:
    """A matter, and those that are told beside it."""
    first = matter(kind, name)
    return (first, *(matter(kind, other) for other in (*first.parts, *first.also)))


def short_code(system: str | None, code: str | None) -> str | None:
    """A coding as `system|code` by the system's short name, or by its address where it has none."""
    if not code:
        return None
    folded = folded_address(system or "")
    return f"{short_names().get(folded, folded)}|{code}"


@cache
def addresses() -> dict[str, str]:
    """The address of each system by its short name."""
    systems = json.loads(files("schemas").joinpath("systems.json").read_text(encoding="utf-8"))["systems"]
    return {name: each["addresses"][0] for name, each in systems.items()}


def _near(said: Phrase, kind: Kind) -> Phrase | None:
    """The one phrase of which what was said is a misspelling: words in their order, a letter or two apart in all."""
    if not said:
        return None
    best: dict[str, tuple[int, Phrase]] = {}
    for phrase, name in _index(kind).items():
        if len(phrase) != len(said):
            continue
        apart = 0
        for one, other in zip(said, phrase, strict=True):
            if one == other:
                continue
            length = min(len(one), len(other))
            most = 0 if length < LEAST_MISSPELT or one.isdigit() else 1 if length < 8 else 2
            away = OSA.distance(one, other, score_cutoff=most) if most and one[0] == other[0] else 99
            apart += away if away <= most else 99
            if apart > 2:
                break
        if apart <= 2 and (name not in best or apart < best[name][0]):
            best[name] = (apart, phrase)
    ranked = sorted(best.values())
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        return None
    return ranked[0][1]


@cache
def _index(kind: Kind) -> dict[Phrase, str]:
    return {phrase: each.id for each in matters(kind) for phrase in each.says}


@cache
def _file(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(files("schemas").joinpath("coach", f"{name}.json").read_text(encoding="utf-8"))
    return read


def _matter(kind: Kind, entry: dict[str, Any], source: str) -> Matter:
    words = [*entry.get("words", ()), *_group_words(entry)]
    # The words of a kind of drug are ingredients, of which each may be of several kinds.
    named = () if kind == "medications" else entry.get("words", ())
    says = {words_of(said) for said in (entry["title"], *entry.get("says", ()), *named)}
    return Matter(
        id=entry["matter"],
        kind=kind,
        title=entry["title"],
        says=frozenset(says),
        codes=frozenset(_codes(entry)),
        words=tuple(dict.fromkeys(words_of(word) for word in words)),
        without=frozenset(word for said in entry.get("without", ()) for word in words_of(said)),
        also=tuple(entry.get("also", ())),
        parts=tuple(entry.get("parts", ())),
        pair=tuple(entry["pair"]) if "pair" in entry else None,
        source=entry.get("source", source),
    )


def _codes(entry: dict[str, Any]) -> Iterator[str]:
    for system, codes in entry.get("codes", {}).items():
        yield from (f"{system}|{code}" for code in codes)
    named = set(entry.get("value_sets", ()))
    for member in value_sets():
        if member.value_set in named and (code := short_code(member.system, member.code)):
            yield code
    wanted = set(entry.get("analytes", ()))
    if wanted:
        units = json.loads(files("schemas").joinpath("units", "analytes.json").read_text(encoding="utf-8"))
        yield from (f"loinc|{code}" for each in units["analytes"] if each["id"] in wanted for code in each["loinc"])
    for group in _groups(entry):
        for system in ("cvx", "ndc", "cpt"):
            if system == "cvx" and "value_sets" in entry:
                continue  # the value set says which
            yield from (f"{system}|{code}" for code in group.get(system, ()))
    concepts = set(entry.get("concepts", ()))
    if concepts:
        for each in content("concepts")["concepts"]:
            if each["is"] in concepts:
                for system in ("snomed", "icd10", "icd9"):
                    yield from (f"{system}|{code}" for code in each.get(system, ()))


def _groups(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups of vaccines that are against one of `against`: combinations are against each of their parts."""
    against = set(entry.get("against", ()))
    return [each for each in content("vaccines")["groups"] if against & set(each["group"].split())]


def _group_words(entry: dict[str, Any]) -> list[str]:
    return [word for group in _groups(entry) for word in group["words"]]
