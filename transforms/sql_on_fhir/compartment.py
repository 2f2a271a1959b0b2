"""Whose resources count: the Patient compartment, as FHIRPath over a resource's references.

Source: FHIR R4 (4.0.1), CompartmentDefinition "patient"; its search parameters are written as the elements searched.
"""

from __future__ import annotations

from dataclasses import dataclass

_PATHS: dict[str, str] = dict(
    line.split(maxsplit=1)
    for line in """\
Account subject
AdverseEvent subject
AllergyIntolerance patient recorder asserter
Appointment participant.actor
AppointmentResponse actor
AuditEvent agent.who entity.what
Basic subject author
BodyStructure patient
CarePlan subject activity.detail.performer
CareTeam subject participant.member
ChargeItem subject
Claim patient payee.party
ClaimResponse patient
ClinicalImpression subject
Communication subject sender recipient
CommunicationRequest subject sender recipient requester
Composition subject author attester.party
Condition subject asserter
Consent patient
Coverage policyHolder subscriber beneficiary payor
CoverageEligibilityRequest patient
CoverageEligibilityResponse patient
DetectedIssue patient
DeviceRequest subject performer
DeviceUseStatement subject
DiagnosticReport subject
DocumentManifest subject author recipient
DocumentReference subject author
Encounter subject
EnrollmentRequest candidate
EpisodeOfCare patient
ExplanationOfBenefit patient payee.party
FamilyMemberHistory patient
Flag subject
Goal subject
Group member.entity
ImagingStudy subject
Immunization patient
ImmunizationEvaluation patient
ImmunizationRecommendation patient
Invoice subject recipient
List subject source
MeasureReport subject
Media subject
MedicationAdministration subject performer.actor
MedicationDispense subject receiver
MedicationRequest subject
MedicationStatement subject
MolecularSequence patient
NutritionOrder patient
Observation subject performer
Patient link.other
Person link.target
Procedure subject performer.actor
Provenance target
QuestionnaireResponse subject author
RelatedPerson patient
RequestGroup subject action.participant
ResearchSubject individual
RiskAssessment subject
Schedule actor
ServiceRequest subject performer
Specimen subject
SupplyDelivery patient
SupplyRequest deliverTo
VisionPrescription patient
""".splitlines()
)


@dataclass(frozen=True, slots=True)
class Compartment:
    """The keys of patients (`Patient/id`), and the expression that gives those of a resource."""

    expression: str
    keys: tuple[str, ...]

    @staticmethod
    def of(resource: str, keys: tuple[str, ...]) -> Compartment | None:
        """The compartments of those patients, for a type; None for a type that no compartment holds."""
        expression = patients_of(resource)
        return Compartment(expression, keys) if expression is not None else None


def patients_of(resource: str) -> str | None:
    """FHIRPath for the keys of the patients in whose compartment a resource of the type is; None if it is in none."""
    paths = _PATHS.get(resource)
    if paths is None:
        return None
    keys = [f"{path}.getReferenceKey(Patient)" for path in paths.split()]
    return " | ".join(["getResourceKey()", *keys] if resource == "Patient" else keys)
