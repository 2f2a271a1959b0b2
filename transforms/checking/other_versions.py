"""Elements as other versions of FHIR write them (DSTU2, STU3, R5), under the names that R4 has for the same thing.

Only what is certain: an element that R4 does not know in its place, whose meaning in R4 has one name, and where that
name is free. Sources: the maps between versions of R4 and R5, and the R3 and R2 diffs in R4's own pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Node = dict[str, Any]
Turn = Callable[[Any], Node]
"""From the value of one element to members of R4; none where it is not certain."""


def _concept_or_reference(name: str) -> Turn:
    """R5's CodeableReference in a choice of R4: `medication` → `medicationCodeableConcept` or `medicationReference`."""

    def turn(value: Any) -> Node:
        each = _only(value)
        if not isinstance(each, dict):
            return {}
        if "concept" in each:
            return {f"{name}CodeableConcept": each["concept"]}
        return {f"{name}Reference": each["reference"]} if isinstance(each.get("reference"), dict) else {}

    return turn


def _reasons(value: Any) -> Node:
    """STU3's concepts, R5's CodeableReferences, or the Encounter's groups of those: one list a kind."""
    codes: list[Any] = []
    references: list[Any] = []
    for group in _list(value):
        for each in _list(group["value"] if isinstance(group, dict) and "value" in group else group):
            if not isinstance(each, dict):
                return {}
            if "coding" in each or "text" in each:
                codes.append(each)
            if "concept" in each:
                codes.append(each["concept"])
            if isinstance(each.get("reference"), dict):
                references.append(each["reference"])
            elif isinstance(each.get("reference"), str):
                references.append(each)
    return {name: found for name, found in (("reasonCode", codes), ("reasonReference", references)) if found}


def _used(value: Any) -> Node:
    codes = [each["concept"] for each in _list(value) if isinstance(each, dict) and "concept" in each]
    references = [each["reference"] for each in _list(value) if isinstance(each, dict) and "reference" in each]
    return {name: found for name, found in (("usedCode", codes), ("usedReference", references)) if found}


_WHO: Final = {"author": "recorder", "enterer": "recorder", "informant": "asserter"}


def _participants(value: Any) -> Node:
    """R5 says by a code (provenance-participant-type) who recorded and who asserted; the first of each counts."""
    found: Node = {}
    for each in _list(value):
        function = each.get("function") if isinstance(each, dict) else None
        for coding in _list(function.get("coding")) if isinstance(function, dict) else ():
            name = _WHO.get(str(coding.get("code"))) if isinstance(coding, dict) else None
            if name and "actor" in each:
                found.setdefault(name, each["actor"])
    return found


def _note(value: Any) -> Node:
    return {"note": [{"text": value}]} if isinstance(value, str) else {"note": value}


def _explanation(value: Any) -> Node:
    if not isinstance(value, dict):
        return {}
    names = (("reason", "reasonCode"), ("reasonNotGiven", "statusReason"))
    return {new: value[old] for old, new in names if old in value}


def _date(name: str) -> Turn:
    return lambda value: {name: value} if isinstance(value, str) else {}


def _count(name: str) -> Turn:
    """R5 has doses as text, STU3 as a number; R4 leaves the choice."""
    return lambda value: {f"{name}String" if isinstance(value, str) else f"{name}PositiveInt": value}


def _as_needed(value: Any) -> Node:
    return {"asNeededBoolean": value} if isinstance(value, bool) else {}


def _choice(old: str, new: str, *kinds: str) -> dict[str, str]:
    return {old + kind: new + kind for kind in kinds}


_PERFORMED: Final = _choice("occurrence", "performed", "DateTime", "Period", "String", "Age", "Range")

ANYWHERE: Final[Mapping[str, str | Turn]] = {
    "context": "encounter",
    "reason": _reasons,
    "medication": _concept_or_reference("medication"),
    "assertedDate": "recordedDate",
    "dateRecorded": "recordedDate",
    "comment": _note,
    "comments": _note,
    "notes": _note,
}
"""For every resource that has the R4 name."""

PLACES: Final[Mapping[tuple[str, str], Mapping[str, str | Turn]]] = {
    ("AllergyIntolerance", ""): {
        "participant": _participants,
        "substance": "code",
        "reporter": "asserter",
        "onset": _date("onsetDateTime"),
    },
    ("Condition", ""): {"participant": _participants},
    ("Condition", "evidence"): {"concept": "code", "reference": "detail"},
    ("DiagnosticReport", ""): {"codedDiagnosis": "conclusionCode", "image": "media"},
    ("Dosage", ""): {"asNeededFor": "asNeededCodeableConcept", "asNeeded": _as_needed},
    ("Encounter", ""): {"actualPeriod": "period", "admission": "hospitalization", "incomingReferral": "basedOn"},
    ("Encounter", "location"): {"form": "physicalType"},
    ("Encounter", "participant"): {"actor": "individual"},
    ("Immunization", ""): {
        "date": _date("occurrenceDateTime"),
        "explanation": _explanation,
        "practitioner": "performer",
        "vaccinationProtocol": "protocolApplied",
    },
    ("Immunization", "performer"): {"role": "function"},
    ("Immunization", "protocolApplied"): {
        "doseNumber": _count("doseNumber"),
        "doseSequence": _count("doseNumber"),
        "seriesDoses": _count("seriesDoses"),
    },
    ("Location", ""): {"form": "physicalType"},
    ("Medication", ""): {"doseForm": "form"},
    ("Medication", "ingredient"): {
        "item": _concept_or_reference("item"),
        "strengthRatio": "strength",
        "amount": "strength",
    },
    ("MedicationAdministration", ""): {
        # R5 spells it with one r.
        **_choice("occurence", "effective", "DateTime", "Period"),
        **_choice("occurrence", "effective", "DateTime", "Period"),
        **_choice("effectiveTime", "effective", "DateTime", "Period"),
        "encounter": "context",
        "reasonNotGiven": "statusReason",
    },
    ("MedicationDispense", ""): {"encounter": "context", "notPerformedReason": _concept_or_reference("statusReason")},
    ("MedicationRequest", ""): {"reported": lambda value: {"reportedBoolean": value}},
    ("MedicationStatement", ""): {"encounter": "context", "reasonNotTaken": "statusReason"},
    ("Procedure", ""): {
        **_PERFORMED,
        "notDoneReason": "statusReason",
        "reasonNotPerformed": "statusReason",
        "used": _used,
    },
    ("Procedure", "performer"): {"role": "function"},
}
"""For one place: (type, path in it)."""

NOT_DONE: Final[Mapping[str, tuple[tuple[str, Any, str], ...]]] = {
    "Immunization": (("notGiven", True, "not-done"), ("wasNotGiven", True, "not-done")),
    "MedicationAdministration": (("notGiven", True, "not-done"), ("wasNotGiven", True, "not-done")),
    "MedicationStatement": (("taken", "n", "not-taken"), ("wasNotTaken", True, "not-taken")),
    "Procedure": (("notDone", True, "not-done"), ("notPerformed", True, "not-done")),
}
"""What says elsewhere that a thing was not done: (element, value, the status that R4 has for it). Left unread, the
thing would stand there as done."""

DOSES: Final = ("doseQuantity", "doseRange", "rateQuantity", "rateRange", "rateRatio")
"""What STU3 has in the Dosage itself, and R4 in `doseAndRate`."""


def in_r4(node: Node, owner: str, path: str, known: Mapping[str, str]) -> tuple[Node, list[str]]:
    """The members of an object under R4's names, and which were written otherwise.

    `known` are the names that R4 has here, with their elements: of a choice there may be one.
    """
    unknown = [name for name in node if name not in known and name != "resourceType" and not name.startswith("_")]
    if not unknown:
        return node, []
    result = dict(node)
    turned: list[str] = []
    table = {**({} if path else ANYWHERE), **PLACES.get((owner, path), {})}
    for name, turn in table.items():
        if name not in unknown:
            continue
        taken = {known.get(each) for each in result if each in known}
        members = {turn: node[name]} if isinstance(turn, str) else turn(node[name])
        if members and all(new in known and known[new] not in taken for new in members):
            del result[name]
            result |= members
            turned.append(name)
            if isinstance(turn, str) and "_" + name in result:
                result.setdefault("_" + turn, result.pop("_" + name))
    for name, value, status in NOT_DONE.get(owner, ()) if not path else ():
        if name in unknown and node[name] == value:
            del result[name]
            if result.get("status") != "entered-in-error":
                result["status"] = status
            turned.append(name)
    doses = [name for name in DOSES if name in unknown]
    if owner == "Dosage" and not path and doses and "doseAndRate" not in node:
        result["doseAndRate"] = [{name: result.pop(name) for name in doses}]
        turned += doses
    return result, turned


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
