"""Which resources are whose: the Patient compartment of R4, and the parameters that a search may use.

Source: CompartmentDefinition/patient and the search parameters of FHIR R4 (4.0.1). Types that point at a patient
without being in the definition (Device, Task, …) are treated as belonging to that patient, as US Core servers do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# A line a type: parameters whose path has another name are written `parameter:path+path`.
_REFERENCES: Final = """
Account patient:subject subject
AdverseEvent subject
AllergyIntolerance patient recorder asserter
Appointment patient:participant.actor actor:participant.actor
AppointmentResponse patient:actor actor
AuditEvent patient:agent.who+entity.what
Basic patient:subject subject author
BodyStructure patient
CarePlan patient:subject subject performer:activity.detail.performer
CareTeam patient:subject subject participant:participant.member
ChargeItem patient:subject subject
Claim patient payee:payee.party
ClaimResponse patient
ClinicalImpression patient:subject subject
Communication patient:subject subject sender recipient
CommunicationRequest patient:subject subject sender recipient requester
Composition patient:subject subject author attester:attester.party
Condition patient:subject subject asserter
Consent patient
Contract patient:subject subject signer:signer.party
Coverage patient:beneficiary beneficiary policy-holder:policyHolder subscriber payor
CoverageEligibilityRequest patient
CoverageEligibilityResponse patient
DetectedIssue patient
Device patient
DeviceRequest patient:subject subject performer
DeviceUseStatement patient:subject subject
DiagnosticReport patient:subject subject
DocumentManifest patient:subject subject author recipient
DocumentReference patient:subject subject author
Encounter patient:subject subject
EnrollmentRequest patient:candidate subject:candidate
EpisodeOfCare patient
ExplanationOfBenefit patient payee:payee.party
FamilyMemberHistory patient
Flag patient:subject subject
Goal patient:subject subject
Group member:member.entity
GuidanceResponse patient:subject subject
ImagingStudy patient:subject subject
Immunization patient
ImmunizationEvaluation patient
ImmunizationRecommendation patient
Invoice patient:subject subject recipient
List patient:subject subject source
MeasureReport patient:subject subject
Media patient:subject subject
MedicationAdministration patient:subject subject performer:performer.actor
MedicationDispense patient:subject subject receiver
MedicationRequest patient:subject subject
MedicationStatement patient:subject subject
MolecularSequence patient
NutritionOrder patient
Observation patient:subject subject performer
Person patient:link.target
Procedure patient:subject subject performer:performer.actor
Provenance patient:target
QuestionnaireResponse patient:subject subject author
RelatedPerson patient
RequestGroup patient:subject subject participant:action.participant
ResearchSubject patient:individual individual
RiskAssessment patient:subject subject
Schedule actor
ServiceRequest patient:subject subject performer
Specimen patient:subject subject
SupplyDelivery patient
SupplyRequest subject:deliverTo requester
Task patient:for subject:for
VisionPrescription patient
"""
_TOKENS: Final = """
AdverseEvent category
AllergyIntolerance category code
Basic code
CarePlan category
CareTeam category
ChargeItem code
Communication category
CommunicationRequest category
Composition category
Condition category code
Consent category
DetectedIssue code
DiagnosticReport category code
DocumentReference category
Goal category
List code
Medication code
MedicationAdministration code:medicationCodeableConcept
MedicationDispense code:medicationCodeableConcept
MedicationRequest category code:medicationCodeableConcept
MedicationStatement category code:medicationCodeableConcept
Observation category code
Procedure category code
ServiceRequest category code
"""
FILED_UNDER: Final = "https://charthouse.example/sandbox/filed-under"
"""System of the `meta.tag` that files a resource under the patient whose id it holds, whatever the resource says of its
subject: so a made-up provider can hand out what belongs to somebody else, or a stub that names nobody."""

MEMBERSHIP: Final = ""
"""The name under which a link says only that a resource is a patient's, by whichever parameter."""

NAMED: Final = "named:"
"""Begins the role of a point that stands for a link: the parameter follows."""

MEDICATION_USERS: Final = (
    "MedicationRequest",
    "MedicationStatement",
    "MedicationDispense",
    "MedicationAdministration",
)
DERIVED: Final = ("Provenance", "Binary")
"""Types that belong to whoever the resources belong to that they speak of (Provenance) or that show them (Binary)."""

_Paths = tuple[tuple[str, ...], ...]


def _read(table: str) -> dict[str, dict[str, _Paths]]:
    read: dict[str, dict[str, _Paths]] = {}
    for line in table.strip().splitlines():
        name, *parameters = line.split()
        for parameter in parameters:
            label, _, paths = parameter.partition(":")
            split = tuple(tuple(path.split(".")) for path in (paths or label).split("+"))
            read.setdefault(name, {})[label] = split
    return read


PATIENT_PARAMETERS: Final[Mapping[str, Mapping[str, _Paths]]] = _read(_REFERENCES)
"""Type → search parameter → the paths of the references that it looks at."""
TOKEN_PARAMETERS: Final[Mapping[str, Mapping[str, _Paths]]] = _read(_TOKENS)
"""Type → token search parameter → the paths of its codes."""


def _by_path(parameters: Mapping[str, _Paths]) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    paths: dict[tuple[str, ...], list[str]] = {}
    for parameter, looked_at in parameters.items():
        for path in looked_at:
            paths.setdefault(path, [MEMBERSHIP]).append(parameter)
    return tuple((path, tuple(names)) for path, names in paths.items())


_BY_PATH: Final = {name: _by_path(parameters) for name, parameters in PATIENT_PARAMETERS.items()}
_ATTACHMENTS: Final[Mapping[str, _Paths]] = {
    "DocumentReference": (("content", "attachment", "url"),),
    "DiagnosticReport": (("presentedForm", "url"),),
    "Media": (("content", "url"),),
}
_LITERAL: Final = re.compile(r"([A-Z][A-Za-z]{1,63}/[^/?#]+)(?:/_history/[^/]+)?")
_SERVER: Final = re.compile(r"https?://\S+/(?=[A-Z][A-Za-z]{1,63}/)")


@dataclass(frozen=True, slots=True)
class Index:
    """What the store remembers of a resource beside its bytes.

    `links`: (patient as `Patient/id`, parameter); `tokens`: (parameter, system or "", code); `points`: (role,
    `Type/id`) with the roles `medication`, `target` and `attachment`, or (role, `Patient/system|value`) with the roles
    `identifier` (of a Patient) and `NAMED` + parameter (of what names its patient by an identifier alone).
    """

    links: set[tuple[str, str]]
    tokens: set[tuple[str, str, str]]
    points: set[tuple[str, str]]


def is_personal(type_name: str) -> bool:
    """Whether resources of a type belong to a patient, so that others may not see them."""
    return type_name in PATIENT_PARAMETERS or type_name in ("Patient", "Binary")


def index_of(type_name: str, resource: Mapping[str, Any]) -> Index:
    """Read a parsed resource for what a search needs. Parts of a wrong type are passed over."""
    links: set[tuple[str, str]] = set()
    points: set[tuple[str, str]] = set()
    filed = _filed_under(resource)
    if filed:
        links.update((f"Patient/{filed}", parameter) for parameter in PATIENT_PARAMETERS.get(type_name, {}))
        links.add((f"Patient/{filed}", MEMBERSHIP))
    elif type_name == "Provenance":
        points.update(("target", target) for target in _targets(resource, ("target",)))
    else:
        named: set[tuple[str, str]] = set()
        for path, parameters in _BY_PATH.get(type_name, ()):
            for reference in walk(resource, path):
                target = literal(reference.get("reference")) if isinstance(reference, dict) else None
                if target is None:
                    named.update((name, key) for key in _named(reference, resource) for name in parameters)
                elif target.startswith("Patient/"):
                    links.update((target, parameter) for parameter in parameters)
        if named:
            said = {parameter for _, parameter in links}
            points.update((NAMED + name, f"Patient/{key}") for name, key in named if name not in said)
    if type_name in MEDICATION_USERS:
        points.update(("medication", target) for target in _targets(resource, ("medicationReference",)))
    for path in _ATTACHMENTS.get(type_name, ()):
        for url in walk(resource, path):
            shown = literal(_SERVER.sub("", url, count=1)) if isinstance(url, str) else None
            if shown and shown.startswith("Binary/"):
                points.add(("attachment", shown))
    if type_name == "Patient" and isinstance(resource.get("id"), str):
        links.add((f"Patient/{resource['id']}", MEMBERSHIP))
        points.update(("identifier", f"Patient/{key}") for key in _identifiers(resource.get("identifier")))
    tokens: set[tuple[str, str, str]] = set()
    for parameter, paths in TOKEN_PARAMETERS.get(type_name, {}).items():
        for path in paths:
            for value in walk(resource, path):
                tokens.update((parameter, system, code) for system, code in _codings(value))
    return Index(links, tokens, points)


def literal(reference: object) -> str | None:
    """A reference to this server as `Type/id` (the version dropped), whatever the id; None for any other.

    Loading writes what is the source's own that way; what still names a server is another's.
    """
    match = _LITERAL.fullmatch(reference) if isinstance(reference, str) else None
    return match[1] if match else None


def walk(value: object, path: tuple[str, ...]) -> Sequence[Any]:
    """Every value at a path, lists flattened on the way."""
    found = [value]
    for step in path:
        found = [item[step] for item in found if isinstance(item, dict) and step in item]
        if any(isinstance(item, list) for item in found):
            found = [part for item in found for part in (item if isinstance(item, list) else (item,))]
    return found


def _filed_under(resource: Mapping[str, Any]) -> str | None:
    meta = resource.get("meta")
    for tag in walk(meta, ("tag",)) if isinstance(meta, dict) and "tag" in meta else ():
        if isinstance(tag, dict) and tag.get("system") == FILED_UNDER and isinstance(tag.get("code"), str):
            return str(tag["code"])
    return None


def _named(reference: object, resource: Mapping[str, Any]) -> Iterator[str]:
    """The identifiers by which a reference without an address names whoever it means; a contained one's are its own."""
    if not isinstance(reference, dict):
        return
    yield from _identifiers(reference.get("identifier"))
    inside = reference.get("reference")
    if isinstance(inside, str) and inside.startswith("#"):
        for contained in walk(resource, ("contained",)):
            if isinstance(contained, dict) and (contained.get("resourceType"), contained.get("id")) == (
                "Patient",
                inside[1:],
            ):
                yield from _identifiers(contained.get("identifier"))


def _identifiers(value: object) -> Iterator[str]:
    """`system|value` of each identifier that has both."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and all(isinstance(one.get(part), str) for part in ("system", "value")):
            yield f"{one['system']}|{one['value']}"


def _targets(resource: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for reference in walk(resource, path):
        target = literal(reference.get("reference")) if isinstance(reference, dict) else None
        if target:
            yield target


def _codings(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield "", value
    elif isinstance(value, dict):
        codings = value.get("coding")
        for coding in codings if isinstance(codings, list) else [value]:
            if isinstance(coding, dict) and isinstance(coding.get("code"), str):
                system = coding.get("system")
                yield system if isinstance(system, str) else "", coding["code"]
