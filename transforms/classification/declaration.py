"""The declaration of the categories, read from `schemas/categories/` and made ready to be asked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PHONE: Final = "phone"
"""The route on which Health Connect's rules hold alone; every other brings FHIR from a provider."""

OBSERVATION: Final = "Observation"
UNKNOWN_TYPE: Final = "unknown/type"
UNKNOWN_OBSERVATION: Final = "unknown/observation"
PHONE_TYPE: Final = "phone/type"
PHONE_OBSERVATION: Final = "phone/observation"

_FOLDER: Final = "categories"
_FORMS: Final = ("http://{}", "https://{}", "http://www.{}", "https://www.{}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that can decide: the category it gives (None: the resource is additional), and why, in words."""

    id: str
    category: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of Observation. Its place among the kinds decides where several are named."""

    name: str
    category: str | None
    words: frozenset[str]
    health_connect_loinc: frozenset[str]
    health_connect_categories: frozenset[str]
    class_loinc: frozenset[str]


@dataclass(frozen=True, slots=True)
class Coded:
    """Codes that name kinds only with one of these systems. Systems and codes are in lower case."""

    systems: frozenset[str]
    kinds: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """All of it. `health_connect_types` hold on every route, `declared_types` on those that bring FHIR."""

    version: str
    health_connect_types: Mapping[str, str]
    declared_types: Mapping[str, Rule]
    rows: Mapping[str, tuple[str, ...]]
    code_system: str
    category_system: str
    kinds: tuple[Kind, ...]
    coded: tuple[Coded, ...]
    loinc_systems: frozenset[str]


@cache
def declaration() -> Declaration:
    """The declaration, read once a process."""
    told, classes = _read("rules.json"), _read("loinc_classes.json")
    exact = {rule["kind"]: rule for rule in told["health_connect"]["rules"]}
    by_class = {
        entry["kind"]: frozenset(code for group in entry["groups"] for line in group["codes"] for code in line.split())
        for entry in classes["classes"]
    }
    return Declaration(
        version=list(told["versions"])[-1],
        health_connect_types=told["types"]["health_connect"],
        declared_types={
            name: Rule(f"type/{name}", entry["category"], entry["why"])
            for name, entry in told["types"]["declared"].items()
        },
        rows={name: tuple(types) for name, types in told["rows"].items() if name != "note"},
        code_system=told["health_connect"]["code_system"],
        category_system=told["health_connect"]["category_system"],
        kinds=tuple(
            Kind(
                name=entry["kind"],
                category=entry["category"],
                words=frozenset(entry["words"]),
                health_connect_loinc=frozenset(exact.get(entry["kind"], {}).get("loinc", ())),
                health_connect_categories=frozenset(exact.get(entry["kind"], {}).get("categories", ())),
                class_loinc=by_class.get(entry["kind"], frozenset()),
            )
            for entry in told["kinds"]
        ),
        coded=tuple(
            Coded(
                systems=_written(entry["systems"]),
                kinds={kind: frozenset(code.lower() for code in codes) for kind, codes in entry["codes"].items()},
            )
            for entry in told["coded"]
        ),
        loinc_systems=_written(told["loinc_systems"]),
    )


@cache
def rules() -> Mapping[str, Rule]:
    """Every rule that can decide, by its id."""
    known, why = declaration(), {entry["kind"]: entry["why"] for entry in _read("rules.json")["kinds"]}
    found = [
        Rule(UNKNOWN_TYPE, None, "No category takes resources of this type."),
        Rule(UNKNOWN_OBSERVATION, None, "Neither its category nor a LOINC code that is known here says what it is."),
        Rule(PHONE_TYPE, None, "Health Connect takes no resources of this type."),
        Rule(PHONE_OBSERVATION, None, "No rule of Health Connect names its code or its category."),
    ]
    for name, category in known.health_connect_types.items():
        found.append(Rule(f"type/{name}", category, f"Every {name} belongs there, by Health Connect's rules."))
    found += known.declared_types.values()
    for kind in known.kinds:
        said = why[kind.name]
        if kind.health_connect_loinc or kind.health_connect_categories:
            told = f"Health Connect's rules say that it {said}."
            found.append(Rule(f"health-connect/{kind.name}", kind.category, told))
        if kind.health_connect_loinc:
            told = f"Its LOINC code, its system written another way, says that it {said}."
            found.append(Rule(f"code/{kind.name}", kind.category, told))
        found.append(Rule(f"category/{kind.name}", kind.category, f"Its category says that it {said}."))
        if kind.class_loinc:
            told = f"Its category says nothing; its LOINC code {said}."
            found.append(Rule(f"loinc-class/{kind.name}", kind.category, told))
    return {rule.id: rule for rule in found}


def tables_of(category: str | None, resource_type: object) -> tuple[str, ...]:
    """The tables in which a resource of that category and type is a row: one, or none."""
    there = category is not None and resource_type in declaration().rows.get(category, ())
    return (category,) if category is not None and there else ()


def mapping_version() -> str:
    """The version of the declaration: whoever changes the data adds one (`versions` in rules.json)."""
    return declaration().version


def digest() -> str:
    """What the data says, its versions left out, as a fingerprint: a version stands for one digest only."""
    told = [_read("rules.json"), _read("loinc_classes.json")]
    told[0].pop("versions")
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _read(name: str) -> dict[str, Any]:
    text = files("schemas").joinpath(_FOLDER, name).read_text(encoding="utf-8")
    told: dict[str, Any] = json.loads(text)
    return told


def _written(systems: list[str]) -> frozenset[str]:
    """The ways in which servers write a system, in lower case: with either scheme, www, a slash behind, as an OID."""
    found: set[str] = set()
    for system in systems:
        bare = system.lower()
        if bare[:1].isdigit():
            found |= {bare, f"urn:oid:{bare}", f"oid:{bare}"}
        else:
            found |= {form.format(bare) + slash for form in _FORMS for slash in ("", "/")}
    return frozenset(found)
