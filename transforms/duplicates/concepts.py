"""What a record is about, as its codes and its words say it, and how far two such say the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from transforms.duplicates.drugs import Drug, drug_of, same_ingredients, strengths_agree
from transforms.duplicates.names import NOTHING, Name, contradict, likeness, name_of, refines
from transforms.duplicates.vocabulary import content, vocabulary
from transforms.tables.systems import folded_address, short_names
from transforms.values.analytes import analytes

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT: Final = 65_536
MEASURES: Final = "measures "
"""What a concept begins with that is a measured thing: an analyte follows."""
ITEM, PART = "\x1f", "\x1e"
"""What parts codings, and the system, code and display of one, in the text that the facts hold."""
_ALIKE: Final = 0.5
"""The share of the shorter wording's words that makes two wordings alike."""
_ALIKE_IN_ONE_SYSTEM: Final = 0.75
"""The share of the longer one's, for two codes of one system: it tells apart what it has two codes for."""


class Agreement(IntEnum):
    """How far two records are about one matter, the best first."""

    SAME_CODE = 0
    SAME_CONCEPT = 1
    SAME_NAME = 2
    ALIKE = 3
    UNKNOWN = 4
    """One has codes alone and the other words alone, or codes of another system: nothing can be compared."""
    DIFFERENT = 9


@dataclass(frozen=True, slots=True, eq=False)
class Concept:
    """What a record is about. `codes` with their systems; `meant`: concepts that codes or words are known to stand for.

    Like ones are one object (`concept_of`), so that what was compared once is remembered by what they are.
    """

    codes: frozenset[str]
    meant: frozenset[str]
    names: tuple[Name, ...]
    keys: frozenset[str]
    drugs: tuple[Drug, ...]
    family: str
    is_known: bool
    """Whether a code says what is meant, and not a name alone."""

    @property
    def tokens(self) -> frozenset[str]:
        """Whatever of it may stand in another record of the same: where candidates are looked for."""
        drugs = frozenset("drug " + " ".join(sorted(each.ingredients)) for each in self.drugs if each.ingredients)
        return self.codes | self.meant | self.keys | drugs


@lru_cache(maxsize=_KEPT)
def concept_of(codings: str, text: str | None, family: str) -> Concept:
    """The concept of a record.

    Args:
        codings: system, code and display of each coding, put together with `ITEM` and `PART`.
        text: the sender's own words.
        family: which crosswalks and readings apply: `drug`, `vaccine`, `substance`, `observation`, `condition` …
    """
    codes, wordings = set(), [text or ""]
    for coding in filter(None, codings.split(ITEM)):
        system, code, display = coding.split(PART)
        if code:
            short = _system(system)
            codes.add(f"{short}|{_plain_code(short, code)}")
        wordings.append(display)
    texts = list(dict.fromkeys(each for each in wordings if each))
    names = tuple(dict.fromkeys(name for each in texts if (name := _name(each, family)) != NOTHING))
    known = _crosswalk(family)
    meant = {concept for code in codes for concept in known.get(code, ())}
    is_known = bool(meant)
    if family == "vaccine" and not meant:
        meant = {concept for each in texts for concept in _vaccines_named(each)}
    said = [each.strong_key if family == "observation" else each.key for each in names]
    keys = frozenset(f"name {each}" for each in said if each)
    if family != "vaccine":
        by_name = _concepts_by_name(family)
        meant |= {by_name[each] for each in said if each in by_name}
    drugs: tuple[Drug, ...] = ()
    if family == "drug":
        drugs = tuple(dict.fromkeys(drug_of(each) for each in texts))
    elif family == "substance":
        drugs = tuple(dict.fromkeys(drug_of(" ".join(sorted(each.words))) for each in names))
    return Concept(frozenset(codes), frozenset(meant), names, keys, drugs, family, is_known)


@lru_cache(maxsize=4096)
def _system(address: str) -> str:
    """A system by its short name, however its address is written; the address, where nobody knows it."""
    folded = folded_address(address)
    return short_names().get(folded, folded)


def _plain_code(short: str, code: str) -> str:
    """A code as it is compared: CVX without leading zeros, NDC and ICD without punctuation."""
    code = code.strip()
    if short == "cvx":
        return code.lstrip("0") or code
    if short == "ndc":
        return ndc_of(code)
    if short in {"icd10", "icd9"}:
        return code.replace(".", "").upper()
    return code


def ndc_of(code: str) -> str:
    """A National Drug Code as labeler and product in the nine digits of 5-4; packages of one product are one."""
    parts = code.split("-")
    if len(parts) in {2, 3} and all(part.isdigit() for part in parts[:2]):
        return parts[0].zfill(5) + parts[1].zfill(4)
    return code[:9] if code.isdigit() and len(code) == 11 else code


def _name(text: str, family: str) -> Name:
    """A wording; a LOINC name is what is measured, and in what, without how (`[Mass/volume]`, `by …`)."""
    if family == "observation" and "[" in text:
        before, _, behind = text.partition("[")
        within = behind.partition("]")[2].partition(" by ")[0]
        text = f"{before} {within}"
    return name_of(text)


@cache
def _crosswalk(family: str) -> Mapping[str, tuple[str, ...]]:
    """Code → the concepts that it stands for."""
    found: dict[str, set[str]] = {}
    if family == "observation":
        for each in analytes():
            for code in each.loinc:
                found.setdefault(f"loinc|{code}", set()).add(f"{MEASURES}{each.id}")
    for entry in content("concepts")["concepts"]:
        for short, codes in entry.items():
            if short == "is":
                continue
            for code in codes:
                found.setdefault(f"{short}|{_plain_code(short, code)}", set()).add(f"is {entry['is']}")
    if family == "vaccine":
        for entry in content("vaccines")["groups"]:
            for short in ("cvx", "ndc", "cpt"):
                for code in entry.get(short, ()):
                    plain = code.lstrip("0") if short == "cvx" else code
                    found.setdefault(f"{short}|{plain}", set()).update(
                        f"against {each}" for each in entry["group"].split()
                    )
    return {code: tuple(sorted(concepts)) for code, concepts in found.items()}


@cache
def _concepts_by_name(family: str) -> Mapping[str, str]:
    """Key of a name → the concept that is called so: a record may have words alone, and its copy a code alone."""
    if family == "observation":
        named = {each.id.replace("_", " "): f"{MEASURES}{each.id}" for each in analytes()}
        return {name_of(name).strong_key: concept for name, concept in named.items()}
    named = {entry["is"]: f"is {entry['is']}" for entry in content("concepts")["concepts"]}
    return {name_of(name).key: concept for name, concept in named.items()}


@lru_cache(maxsize=4096)
def _vaccines_named(text: str) -> frozenset[str]:
    """The groups of vaccines that a wording names: `Fluzone Quadrivalent`, `MMR II`."""
    plain = " " + "".join(letter if letter.isalnum() else " " for letter in text.lower()) + " "
    plain = " ".join(plain.split()).join("  ")
    for entry in content("vaccines")["groups"]:
        if any(f" {word} " in plain or (len(word) > 7 and f" {word}" in plain) for word in entry["words"]):
            return frozenset(f"against {each}" for each in entry["group"].split())
    return frozenset()


@lru_cache(maxsize=262_144)
def agree(one: Concept, other: Concept) -> Agreement:
    """How far two records are about one matter. Sides, stages and specimens that contradict make them different."""
    if one is other:
        return Agreement.SAME_CODE if one.codes else Agreement.SAME_NAME if one.keys else Agreement.UNKNOWN
    if not one.codes.isdisjoint(other.codes):
        return Agreement.SAME_CODE
    if one.family == "vaccine" and one.meant and other.meant:
        return Agreement.SAME_CONCEPT if _same_vaccines(one.meant, other.meant) else Agreement.DIFFERENT
    if not one.meant.isdisjoint(other.meant):
        return Agreement.SAME_CONCEPT
    if one.family == "observation" and one.is_known and other.is_known:
        return Agreement.DIFFERENT
    if not one.keys.isdisjoint(other.keys):
        return Agreement.SAME_NAME
    if one.drugs and other.drugs:
        named = _drugs_agree(one, other)
        if one.family == "drug" or named <= Agreement.SAME_NAME:
            return named
    kinds = vocabulary().kinds[one.family]
    if any(contradict(mine, theirs, kinds) for mine in one.names for theirs in other.names):
        return Agreement.DIFFERENT
    return _names_agree(one, other)


def _same_vaccines(some: frozenset[str], others: frozenset[str]) -> bool:
    """Whether two vaccines are against the same. `pneumo` alone may be either kind of it (`pneumo-conj`)."""
    if some == others:
        return True
    if len(some) != 1 or len(others) != 1:
        return False
    (one,), (other,) = some, others
    return one.startswith(f"{other}-") or other.startswith(f"{one}-")


def _drugs_agree(one: Concept, other: Concept) -> Agreement:
    named = [(mine, theirs) for mine in one.drugs for theirs in other.drugs if mine.ingredients and theirs.ingredients]
    if not named:
        return Agreement.UNKNOWN
    found = [pair for pair in named if same_ingredients(*pair)]
    if not found:
        return Agreement.DIFFERENT
    return Agreement.SAME_CONCEPT if any(strengths_agree(*pair) for pair in found) else Agreement.DIFFERENT


def _names_agree(one: Concept, other: Concept) -> Agreement:
    if not one.names or not other.names:
        return Agreement.UNKNOWN
    one_system = not _systems(one).isdisjoint(_systems(other))
    measure, enough = (refines, _ALIKE_IN_ONE_SYSTEM) if one_system else (likeness, _ALIKE)
    if max(measure(mine, theirs) for mine in one.names for theirs in other.names) >= enough:
        return Agreement.ALIKE
    # Visits are called by what is done, by what is billed, or by where: names of two systems need not be alike.
    return Agreement.UNKNOWN if one.family == "visit" and not one_system else Agreement.DIFFERENT


def _systems(concept: Concept) -> set[str]:
    return {code.partition("|")[0] for code in concept.codes}
