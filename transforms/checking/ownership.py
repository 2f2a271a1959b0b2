"""Whose resource is it? What a resource says about its patient, by the references of the Patient compartment.

The elements that say whom a resource is *about* (subject, patient, beneficiary …) decide where they name a patient;
those in a minor role (performer, author, subscriber …) count only where no subject does. Only a contradiction stops a
resource: a reference that this server cannot resolve (`urn:`, another server, contained, logical) is a remark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from transforms.checking.verdict import Finding
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transforms.checking.verdict import Owner

Says = Literal["this", "other", "unresolved"]
Steps = tuple[str, ...]

SUBJECT_NAMES: Final = ("subject", "patient")

SUBJECT_PATHS: Final[dict[str, tuple[str, ...]]] = {
    "AppointmentResponse": ("actor",),
    "Appointment": ("participant.actor",),
    "Coverage": ("beneficiary",),
    "EnrollmentRequest": ("candidate",),
    "Group": ("member.entity",),
    "Linkage": ("item.resource",),
    "Person": ("link.target",),
    "Provenance": ("target",),
    "ResearchSubject": ("individual",),
    "Schedule": ("actor",),
    "SupplyRequest": ("deliverTo",),
    "Task": ("for",),
}
"""Where the subject of a type goes by another name than `subject` or `patient`."""

INDIRECT: Final = frozenset(
    # Whose they are follows from what they point at, or from nothing: silence about the patient is no remark.
    {
        "Appointment",
        "AppointmentResponse",
        "AuditEvent",
        "Device",
        "Group",
        "Linkage",
        "Person",
        "Provenance",
        "Schedule",
        "SupplyRequest",
    }
)


@dataclass(frozen=True, slots=True)
class Compartment:
    """How one type points at patients: the subject's elements, all elements that may, and whether one is expected."""

    subject: tuple[Steps, ...]
    minor: tuple[Steps, ...]
    expected: bool


@cache
def compartment(resource_type: str) -> Compartment:
    """The compartment of a type, from the element table. A shared type (Practitioner, Medication …) has no subject."""
    definition = r4().types[resource_type]
    pointing = [
        element.path
        for element in definition.elements.values()
        if "Reference" in element.types and (not element.targets or "Patient" in element.targets)
    ]
    declared = SUBJECT_PATHS.get(resource_type, SUBJECT_NAMES)
    subject = [path for path in pointing if path.removesuffix("[x]") in declared]
    if resource_type not in r4().patient_search or resource_type == "Patient":
        # A definition (Library, Measure …) may have a subject, but it is about no one.
        subject = []
    explicit = [path for path in pointing if path not in subject and "Patient" in definition.elements[path].targets]
    return Compartment(
        subject=tuple(_steps(path) for path in subject),
        minor=tuple(_steps(path) for path in explicit) if subject else (),
        expected=bool(subject) and resource_type not in INDIRECT,
    )


def ownership(resource: dict[str, Any], resource_type: str, owner: Owner) -> Finding | None:
    """None where the resource is this patient's or nobody's; otherwise CH207, or a remark CH240 to CH242."""
    if resource_type == "Patient":
        return None if owner.is_named(resource.get("id")) else Finding("CH207", "Patient.id")
    where = compartment(resource_type)
    if not where.subject:
        return None
    says: dict[Says, str] = {}
    for steps in where.subject:
        for text in _references(resource, steps):
            answer = resolve(text, owner)
            if answer == "this":
                return None
            if answer:
                says.setdefault(answer, ".".join((resource_type, *steps)))
    if "other" in says:
        return Finding("CH207", says["other"])
    minor = {resolve(text, owner) for steps in where.minor for text in _references(resource, steps)}
    if "this" in minor:
        return None
    if "unresolved" in says:
        return Finding("CH241", says["unresolved"])
    if "other" in minor:
        return Finding("CH242", resource_type)
    return Finding("CH240", resource_type) if where.expected else None


# Ids as servers write them, with underscores or longer than the standard's 64 characters: a reference that is not
# understood would make another patient's record pass for this one's.
_PATIENT: Final = re.compile(r"(?:(.*)/)?Patient/([^/?#|\s]+)(?:/_history/[^/?#|\s]+)?(?:#.*)?")


@cache
def _own(base_url: str) -> str:
    """A FHIR base for comparison: servers behind a proxy write `http` where they were asked with `https`."""
    return re.sub(r"^https?://", "", base_url.rstrip("/")).lower()


def resolve(reference: str, owner: Owner) -> Says | None:
    """What one reference says: this patient, another one of this server, one that cannot be told; None: no patient."""
    if reference == "Patient/" + owner.patient_id:
        return "this"
    literal = _PATIENT.fullmatch(reference)
    if literal:
        base, name = literal.groups()
        if base is not None and (not owner.base_url or _own(base) != _own(owner.base_url)):
            return "unresolved"
        return "this" if owner.is_named(name) else "other"
    return "unresolved" if reference.startswith(("#", "urn:", "Patient?")) or "/Patient?" in reference else None


def patients_named(resource: Any, base_url: str) -> set[str]:
    """The ids of this server's patients that a resource is of, or names anywhere; they may be made of any signs."""
    named: set[str] = set()
    if isinstance(resource, dict) and resource.get("resourceType") == "Patient":
        named |= {name for name in (resource.get("id"),) if isinstance(name, str)}
    waiting = [resource]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            if isinstance(text := node.get("reference"), str):
                literal = _PATIENT.fullmatch(text)
                if literal and (literal[1] is None or (base_url and _own(literal[1]) == _own(base_url))):
                    named.add(literal[2])
                elif text.startswith("Patient/"):
                    named.add(text.removeprefix("Patient/"))
    return named


def patients_at(resource: dict[str, Any], paths: Iterable[Steps], bases: Iterable[str]) -> set[str]:
    """The ids of a server's patients that the references at these paths name; `bases` are addresses of that server."""
    found = (patient_of(text, bases) for steps in paths for text in _references(resource, steps))
    return {name for name in found if name is not None}


def patient_of(reference: str, bases: Iterable[str]) -> str | None:
    """The id of the patient of a server whom a reference names; `bases` are addresses of that server."""
    literal = _PATIENT.fullmatch(reference)
    if literal and (literal[1] is None or _own(literal[1]) in {_own(base) for base in bases}):
        return literal[2]
    return None


def _references(resource: dict[str, Any], steps: Steps) -> list[str]:
    """The texts of the references at a path, through lists; what has another shape is passed over.

    It is asked of every line of an export, most of which have an object at most on the way.
    """
    nodes: list[Any] = [resource]
    for step in steps:
        nodes = [value for node in nodes for value in _flat(node.get(step) if isinstance(node, dict) else None)]
    texts = [node.get("reference") for node in nodes if isinstance(node, dict)]
    return [text for text in texts if isinstance(text, str)]


def _flat(value: Any) -> tuple[Any, ...] | list[Any]:
    """What stands in a value, however deep its lists are."""
    if isinstance(value, list):
        return [one for item in value for one in _flat(item)]
    return () if value is None else (value,)


def _steps(path: str) -> Steps:
    """JSON names on the way to a Reference (`value[x]` is `valueReference`)."""
    return tuple(step.removesuffix("[x]") + "Reference" if step.endswith("[x]") else step for step in path.split("."))
