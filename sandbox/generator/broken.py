"""What real providers send and should not: resources broken in known ways, a declared share of each.

Every breakage is reported, so that a test knows how many of which kind a pipeline must find. Breaking never changes
which patient a search finds a resource for, except where that is the breakage.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sandbox.compartment import FILED_UNDER
from sandbox.generator.chart import new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from sandbox.generator.vocabulary import Json

_KEYED: Final = ("Observation", "Condition", "Procedure", "AllergyIntolerance")
_DATED: Final = {
    "Observation": "effectiveDateTime",
    "Condition": "recordedDate",
    "AllergyIntolerance": "recordedDate",
    "Immunization": "occurrenceDateTime",
    "MedicationRequest": "authoredOn",
}
_WITH_STATUS: Final = ("Observation", "Procedure", "Immunization", "MedicationRequest", "Encounter")
_SPARED: Final = (
    "Patient", "Encounter", "Medication", "Provenance", "Coverage", "CareTeam", "Goal", "Claim", "Specimen",
    "ServiceRequest",
)  # fmt: skip
"""What others point at stays whole: a visit without an id would break its neighbours too."""
_OWNER: Final = ("subject", "patient")


def _no_id(resource: Json, _: str) -> bool:
    del resource["id"]
    return True


def _other_patient(resource: Json, stranger: str) -> bool:
    owner = next((name for name in _OWNER if name in resource), "")
    if not owner or resource["resourceType"] in ("Provenance", "CareTeam", "CarePlan", "Goal"):
        return False
    own = resource[owner]["reference"].partition("/")[2]
    resource["meta"] = resource.get("meta", {}) | {"tag": [{"system": FILED_UNDER, "code": own}]}
    resource[owner] = {"reference": f"Patient/{stranger}"}
    return True


def _bad_status(resource: Json, _: str) -> bool:
    if resource["resourceType"] not in _WITH_STATUS:
        return False
    resource["status"] = "finall" if resource["resourceType"] == "Observation" else "done"
    return True


def _wrong_type(resource: Json, _: str) -> bool:
    if "valueQuantity" in resource:
        resource["valueQuantity"] = resource["valueQuantity"] | {"value": "about seven"}
    elif "code" in resource:
        resource["code"] = "unknown to the system"
    else:
        return False
    return True


def _unknown_field(resource: Json, _: str) -> bool:
    resource["x_vendorRowVersion"] = 7
    return True


def _bad_date(resource: Json, _: str) -> bool:
    name = _DATED.get(resource["resourceType"], "")
    if name not in resource:
        return False
    resource[name] = "02/30/2021"
    return True


def _missing_required(resource: Json, _: str) -> bool:
    if resource["resourceType"] not in _WITH_STATUS:
        return False
    del resource["status"]
    return True


def _no_code(resource: Json, _: str) -> bool:
    if resource["resourceType"] not in _KEYED or "code" not in resource:
        return False
    del resource["code"]
    return True


KINDS: Final[dict[str, Callable[[Json, str], bool]]] = {
    "no_id": _no_id,
    "other_patient": _other_patient,
    "bad_status": _bad_status,
    "wrong_type": _wrong_type,
    "unknown_field": _unknown_field,
    "bad_date": _bad_date,
    "missing_required": _missing_required,
    "no_code": _no_code,
}
"""Kind → what does it to a resource; False where the resource does not lend itself to it."""


def break_some(resources: list[Json], random: Random, share: float, stranger: str | None) -> Counter[tuple[str, str]]:
    """Break this share of a chart's resources in each way, in place. Returns (kind, type) → how many.

    A resource is broken in one way at most. `stranger` is the id of another patient; without one, none is misfiled.
    """
    counts: Counter[tuple[str, str]] = Counter()
    pool = [index for index, resource in enumerate(resources) if resource["resourceType"] not in _SPARED]
    random.shuffle(pool)
    for kind, spoil in KINDS.items():
        if kind == "other_patient" and stranger is None:
            continue
        wanted = int(len(resources) * share + random.random())
        while wanted and pool:
            index = pool.pop()
            changed = dict(resources[index])
            if spoil(changed, stranger or ""):
                resources[index] = changed
                counts[kind, changed["resourceType"]] += 1
                wanted -= 1
    return counts


def stubs(patient_id: str, random: Random) -> list[Json]:
    """Resources entered in error, of which only a stub is left: with the patient, and without (filed by a tag)."""
    filed = {"tag": [{"system": FILED_UNDER, "code": patient_id}]}
    return [
        {
            "resourceType": "Observation",
            "id": new_id(random),
            "status": "entered-in-error",
            "subject": {"reference": f"Patient/{patient_id}"},
        },
        {"resourceType": "Immunization", "id": new_id(random), "meta": filed, "status": "entered-in-error"},
    ]
