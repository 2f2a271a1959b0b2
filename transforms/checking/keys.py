"""Key elements: those without which nobody can tell what a resource is, or whose. One table for all types."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from transforms.checking.ownership import compartment
from transforms.checking.schema import PRIMITIVES
from transforms.checking.verdict import Finding
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Mapping

READABLE: Final = ("status", "code", "vaccineCode", "medication[x]")
"""Elements that must be readable in every type that has them, beside those that name the subject."""

NEEDED: Final[Mapping[str, str]] = {
    # A value without its name, a prescription of nothing: nobody could use these.
    "DiagnosticReport": "code",
    "Immunization": "vaccineCode",
    "MedicationAdministration": "medication[x]",
    "MedicationRequest": "medication[x]",
    "MedicationStatement": "medication[x]",
    "Observation": "code",
}
"""The element that a resource of the type must have, unless it was entered in error. All of them are 1..1 in R4."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The key elements of one type: names that must hold an object, or a text, and names of which one is needed."""

    objects: tuple[str, ...]
    texts: tuple[str, ...]
    needed: tuple[str, ...]


@cache
def keys(resource_type: str) -> Keys:
    """The key elements of a type."""
    elements = r4().types[resource_type].elements
    subjects = [steps[0] for steps in compartment(resource_type).subject if len(steps) == 1]
    objects: list[str] = []
    texts: list[str] = []
    for path in (*READABLE, *subjects):
        element = elements.get(path) or elements.get(path.removesuffix("Reference") + "[x]")
        if element is None or element.is_list:
            continue
        for name, kind in element.json_names.items():
            (texts if kind in PRIMITIVES else objects).append(name)
    needed = elements[NEEDED[resource_type]].json_names if resource_type in NEEDED else ()
    return Keys(objects=tuple(objects), texts=tuple(texts), needed=tuple(needed))


def key_findings(resource: Mapping[str, Any], resource_type: str) -> list[Finding]:
    """CH208 for each key element that cannot be read, CH209 for one that is not there."""
    table = keys(resource_type)
    unreadable = [
        name for name in table.objects if (value := resource.get(name)) is not None and not _is_object(value)
    ] + [name for name in table.texts if not isinstance(resource.get(name), str | None)]
    found = [Finding("CH208", f"{resource_type}.{name}") for name in unreadable]
    if table.needed and all(resource.get(name) is None for name in table.needed) and not entered_in_error(resource):
        name = NEEDED[resource_type].removesuffix("[x]")
        found.append(Finding("CH209", f"{resource_type}.{name}"))
    return found


def entered_in_error(resource: Mapping[str, Any]) -> bool:
    """Whether the resource withdraws an earlier version of itself, by `status` or by `verificationStatus`."""
    verification = resource.get("verificationStatus")
    codings = verification.get("coding") if isinstance(verification, dict) else None
    return resource.get("status") == "entered-in-error" or any(
        isinstance(coding, dict) and coding.get("code") == "entered-in-error"
        for coding in (codings if isinstance(codings, list) else ())
    )


def _is_object(value: object) -> bool:
    """An object; and where it is a Reference, one whose `reference` is text."""
    return isinstance(value, dict) and isinstance(value.get("reference"), str | None)
