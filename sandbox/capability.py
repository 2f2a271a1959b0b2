"""The CapabilityStatement of a provider: what it really does, by type (FHIR R4 §5.2, US Core server)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sandbox.compartment import MEDICATION_USERS, PATIENT_PARAMETERS, TOKEN_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASICS: Final = (
    "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "DiagnosticReport",
    "DocumentReference", "Encounter", "Goal", "Immunization", "Location", "Medication", "MedicationDispense",
    "MedicationRequest", "Observation", "Organization", "Patient", "Practitioner", "PractitionerRole", "Procedure",
    "Provenance", "QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "Specimen",
)  # fmt: skip
_BULK: Final = "http://hl7.org/fhir/uv/bulkdata"
_OAUTH: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_URIS: Final = {
    "authorize": "authorization_endpoint",
    "token": "token_endpoint",
    "revoke": "revocation_endpoint",
    "introspect": "introspection_endpoint",
    "manage": "management_endpoint",
}
_SERVICE: Final = "http://terminology.hl7.org/CodeSystem/restful-security-service"


def capability_statement(base: str, held: Iterable[str], endpoints: Mapping[str, str], date: str) -> dict[str, Any]:
    """The statement for a FHIR base. `held` are the types in the store, `endpoints` its OAuth endpoints."""
    uris = {short: endpoints[name] for short, name in _URIS.items() if name in endpoints}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "Charthouse sandbox provider"},
        "implementation": {"description": "Synthetic people for trying things out", "url": base},
        "instantiates": [f"{_BULK}/CapabilityStatement/bulk-data"],
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                **({"security": _security(uris)} if uris else {}),
                "resource": [_resource(name) for name in served_types(held)],
                "operation": [{"name": "export", "definition": f"{_BULK}/OperationDefinition/export"}],
            }
        ],
    }


def _security(uris: Mapping[str, str]) -> dict[str, Any]:
    return {
        "extension": [{"url": _OAUTH, "extension": [{"url": name, "valueUri": uri} for name, uri in uris.items()]}],
        "service": [{"coding": [{"system": _SERVICE, "code": "SMART-on-FHIR"}], "text": "SMART on FHIR"}],
    }


def served_types(held: Iterable[str]) -> list[str]:
    """The types that a provider answers for: those it holds and those of US Core."""
    return sorted(set(held) | set(BASICS))


def _resource(name: str) -> dict[str, Any]:
    parameters = [{"name": "_id", "type": "token"}, {"name": "_lastUpdated", "type": "date"}]
    parameters += [{"name": parameter, "type": "reference"} for parameter in PATIENT_PARAMETERS.get(name, {})]
    parameters += [{"name": parameter, "type": "token"} for parameter in TOKEN_PARAMETERS.get(name, {})]
    said: dict[str, Any] = {
        "type": name,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "versioned",
        "readHistory": False,
        "updateCreate": False,
        "conditionalRead": "not-match",
        "searchParam": parameters,
        "searchRevInclude": ["Provenance:target"],
    }
    if name in MEDICATION_USERS:
        said["searchInclude"] = [f"{name}:medication"]
    if name == "Patient":
        said["operation"] = [{"name": "export", "definition": f"{_BULK}/OperationDefinition/patient-export"}]
    return said
