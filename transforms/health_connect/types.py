"""The medical types of Health Connect, their permissions, and which of them a FHIR resource is of.

The table is `schemas/health_connect.json`. Systems are compared as they are written: what differs in a slash is another
system, as it is on the phone. Source: `MedicalResourceValidator` of Android's Health Connect module.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TABLE: Final[dict[str, Any]] = json.loads(files("schemas").joinpath("health_connect.json").read_bytes())

MEDICAL_TYPES: Final[tuple[str, ...]] = tuple(_TABLE["medical_types"])
"""By the names of `MedicalResource`'s constants, without `MEDICAL_RESOURCE_TYPE_`: ten that people see, and the details
of persons and practitioners.
"""
FHIR_VERSIONS: Final[Mapping[str, str]] = _TABLE["fhir_versions"]
"""What a data source may declare, and its name in Android's API."""
CATEGORIES: Final[Mapping[str, str]] = _TABLE["categories"]
"""The ten category tables, and the medical type that opens each."""
XHTML: Final[Mapping[str, Any]] = _TABLE["xhtml"]
_PREFIX: Final[str] = _TABLE["permission_prefix"]
_OF_FHIR_TYPE: Final[Mapping[str, str]] = _TABLE["fhir_types"]
_OBSERVATION: Final[Mapping[str, Any]] = _TABLE["observation"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What Health Connect takes at most, in bytes, seconds and characters."""

    record_bytes: int
    chunk_bytes: int
    window_bytes: int
    window_seconds: int
    data_sources: int
    fhir_base_uri_characters: int
    display_name_characters: int
    nesting: int


LIMITS: Final = Limits(**_TABLE["limits"])


def permission_of(medical_type_name: str) -> str:
    """The Android permission that lets an app read a medical type."""
    return _PREFIX + medical_type_name


def type_of_permission(permission: str) -> str | None:
    """The medical type that a permission opens; None for one that opens none."""
    name = permission.removeprefix(_PREFIX)
    return name if name != permission and name in MEDICAL_TYPES else None


def fhir_types(medical_type_name: str) -> tuple[str, ...]:
    """The FHIR types whose resources are of a medical type."""
    if any(medical_type_name == rule["type"] for rule in _OBSERVATION["order"]):
        return ("Observation",)
    return tuple(kind for kind, name in _OF_FHIR_TYPE.items() if name == medical_type_name)


def is_supported(resource_type: str) -> bool:
    """Whether Health Connect keeps resources of a FHIR type."""
    return resource_type == "Observation" or resource_type in _OF_FHIR_TYPE


def medical_type(resource: Mapping[str, Any]) -> str | None:
    """The medical type of a resource; None where it is of none, and could not have come from Health Connect.

    An Observation is of the first of pregnancy, social history, vital signs and laboratory results that a code or a
    category of its own names.
    """
    kind = resource.get("resourceType")
    if kind != "Observation":
        return _OF_FHIR_TYPE.get(kind) if isinstance(kind, str) else None
    code = resource.get("code")
    codes = set(_codes(code, _OBSERVATION["code_system"])) if isinstance(code, dict) else set()
    categories = _categories(resource.get("category"))
    for rule in _OBSERVATION["order"]:
        if not codes.isdisjoint(rule["codes"]) or rule["category"] in categories:
            return str(rule["type"])
    return None


def _categories(listed: object) -> set[str]:
    """The codes of the categories, up to the first that is none: the phone stops reading there."""
    found: set[str] = set()
    for concept in listed if isinstance(listed, list) else ():
        if not isinstance(concept, dict):
            break
        found.update(_codes(concept, _OBSERVATION["category_system"]))
    return found


def _codes(concept: Mapping[str, Any], system: str) -> Iterator[str]:
    codings = concept.get("coding")
    for coding in codings if isinstance(codings, list) else ():
        if not isinstance(coding, dict):
            return
        if coding.get("system") == system and "code" in coding:
            yield str(coding["code"])
