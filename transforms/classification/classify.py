"""The category of one resource, as a function. Total: nothing that JSON can hold makes it raise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from transforms.classification.declaration import (
    OBSERVATION,
    PHONE,
    PHONE_OBSERVATION,
    PHONE_TYPE,
    UNKNOWN_OBSERVATION,
    UNKNOWN_TYPE,
    declaration,
    rules,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Classification:
    """The category of a resource (None: it is additional), the id of the rule that decided, and why, in words.

    Neither the rule nor the reason holds anything of the resource but its type, where that is one we name.
    """

    category: str | None
    rule: str
    reason: str


def classify(resource: object, route: str) -> Classification:
    """The category of a resource that came by that route (`phone`, `direct`, `verified`)."""
    rule = rules()[_rule_id(resource, route)]
    return Classification(rule.category, rule.id, rule.reason)


def _rule_id(resource: object, route: str) -> str:
    on_phone = route == PHONE
    if not isinstance(resource, Mapping):
        return PHONE_TYPE if on_phone else UNKNOWN_TYPE
    kind = resource.get("resourceType")
    known = declaration()
    if kind == OBSERVATION:
        return _on_phone(resource) if on_phone else _from_provider(resource)
    if isinstance(kind, str) and (
        kind in known.health_connect_types or (kind in known.declared_types and not on_phone)
    ):
        return f"type/{kind}"
    return PHONE_TYPE if on_phone else UNKNOWN_TYPE


def _on_phone(resource: Mapping[str, Any]) -> str:
    """Health Connect alone. It reads a list up to the first entry that is no object."""
    rank = _exact(
        _until_odd(_list(_part(resource.get("code"), "coding"))),
        [
            coding
            for concept in _until_odd(_list(resource.get("category")))
            for coding in _until_odd(_list(concept.get("coding")))
        ],
    )
    return PHONE_OBSERVATION if rank is None else f"health-connect/{declaration().kinds[rank].name}"


def _from_provider(resource: Mapping[str, Any]) -> str:
    """Health Connect's rules first; then what is declared; then the class of the LOINC code."""
    kinds = declaration().kinds
    rank = _exact(
        _objects(_list(_part(resource.get("code"), "coding"))),
        [
            coding
            for concept in _objects(_list(resource.get("category")))
            for coding in _objects(_list(concept.get("coding")))
        ],
    )
    if rank is not None:
        return f"health-connect/{kinds[rank].name}"
    loinc = list(_loinc_codes(resource.get("code")))
    by_code = min((_by_loinc()[code] for code in loinc if code in _by_loinc()), default=None)
    by_category = min(_named(resource.get("category")), default=None)
    if by_code is not None and (by_category is None or by_code <= by_category):
        return f"code/{kinds[by_code].name}"
    if by_category is not None:
        return f"category/{kinds[by_category].name}"
    by_class = min((_by_class()[code] for code in loinc if code in _by_class()), default=None)
    return UNKNOWN_OBSERVATION if by_class is None else f"loinc-class/{kinds[by_class].name}"


def _exact(codings: list[Mapping[str, Any]], categories: list[Mapping[str, Any]]) -> int | None:
    """The first kind that a rule of Health Connect names; systems and codes as they stand."""
    known = declaration()
    codes = {_text(coding.get("code")) for coding in codings if coding.get("system") == known.code_system}
    named = {_text(coding.get("code")) for coding in categories if coding.get("system") == known.category_system}
    for rank, kind in enumerate(known.kinds):
        if codes & kind.health_connect_loinc or named & kind.health_connect_categories:
            return rank
    return None


def _loinc_codes(code: object) -> Iterator[str]:
    """The LOINC codes of a CodeableConcept, however their system is written."""
    for coding in _objects(_loose(_part(code, "coding"))):
        if _folded(coding.get("system")) in declaration().loinc_systems:
            yield _text(coding.get("code")).strip(" ")


def _named(category: object) -> Iterator[int]:
    """The places of the kinds that an Observation's categories name."""
    for concept in _loose(category):
        if isinstance(concept, Mapping):
            yield from _by_words(concept.get("text"))
            for coding in _objects(_loose(concept.get("coding"))):
                yield from _by_words(coding.get("code"))
                yield from _by_words(coding.get("display"))
                place = _by_coding().get((_folded(coding.get("system")), _folded(coding.get("code"))))
                if place is not None:
                    yield place
        else:
            yield from _by_words(concept)


def _by_words(text: object) -> Iterator[int]:
    place = _by_word().get(_folded(text).replace(" ", "-").replace("_", "-"))
    if place is not None:
        yield place


@cache
def _by_loinc() -> Mapping[str, int]:
    return {code: place for place, kind in enumerate(declaration().kinds) for code in kind.health_connect_loinc}


@cache
def _by_class() -> Mapping[str, int]:
    return {code: place for place, kind in enumerate(declaration().kinds) for code in kind.class_loinc}


@cache
def _by_word() -> Mapping[str, int]:
    return {word: place for place, kind in enumerate(declaration().kinds) for word in kind.words}


@cache
def _by_coding() -> Mapping[tuple[str, str], int]:
    places = {kind.name: place for place, kind in enumerate(declaration().kinds)}
    return {
        (system, code): places[name]
        for coded in declaration().coded
        for system in coded.systems
        for name, codes in coded.kinds.items()
        for code in codes
    }


def _part(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _loose(value: object) -> list[Any]:
    """A list, or the one value that stands in its place."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _objects(values: list[Any]) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)]


def _until_odd(values: list[Any]) -> list[Mapping[str, Any]]:
    odd = next((place for place, value in enumerate(values) if not isinstance(value, Mapping)), len(values))
    return values[:odd]


def _text(value: object) -> str:
    """A text, or a whole number that stands in its place: `108252007` without its quotes is the same code."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _folded(value: object) -> str:
    return _text(value).strip(" ").lower()
