"""Medications: orders in the three forms that are in use, dispenses, administrations, and what people say they take."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sandbox.generator.chart import Chart, Visit, decimal
from sandbox.generator.vocabulary import MEDICATIONS, RXNORM, SNOMED, UCUM, US_CORE, Json, concept, hl7, system

if TYPE_CHECKING:
    from collections.abc import Sequence

_OUTPATIENT: Final = [{"coding": [{"system": system("medicationrequest-category"), "code": "outpatient"}]}]
_MOUTH: Final = concept(SNOMED, "26643006", "Oral route")


def medications(chart: Chart, seen: Sequence[Visit]) -> None:
    """Orders for the person's conditions, renewed over the years, and what follows from them."""
    random = chart.random
    wanted = [drug for drug in MEDICATIONS if drug[6] in chart.conditions] or [random.choice(MEDICATIONS)]
    for drug in wanted:
        form = random.randrange(3)
        kept: Json | None = None
        if form == 1:
            kept = chart.add("Medication", {"status": "active"} | _medication(drug))
        for visit in seen[:: random.randrange(2, 4)]:
            order = chart.add("MedicationRequest", _order(chart, visit, drug, form, kept))
            if random.random() < 0.6:
                _dispense(chart, visit, drug, order, kept)
            if visit.kind == "IMP":
                _administer(chart, visit, drug, order)
    if chart.chance(0.5):
        _statement(chart, seen[-1])


def _medication(drug: tuple[str, str, str, int, str, int, str]) -> Json:
    return {
        "code": concept(RXNORM, drug[0], drug[1]),
        "form": {"coding": [{"system": SNOMED, "code": drug[2]}]},
        "batch": {"lotNumber": "B" + drug[0]},
    }


def _order(
    chart: Chart, visit: Visit, drug: tuple[str, str, str, int, str, int, str], form: int, kept: Json | None
) -> Json:
    random = chart.random
    rxnorm, name, _, amount, unit, times, treats = drug
    timing = {"repeat": {"frequency": times, "period": 1, "periodUnit": "d"}, "code": {"text": f"{times} x a day"}}
    dose: Json = {"doseQuantity": {"value": amount, "unit": unit.strip("{}"), "system": UCUM, "code": unit}}
    if random.random() < 0.1:
        low, high = {"value": amount, "unit": unit.strip("{}")}, {"value": amount + 1, "unit": unit.strip("{}")}
        dose = {"doseRange": {"low": low, "high": high}}
    content: Json = {
        "meta": {"profile": [US_CORE + "us-core-medicationrequest"]},
        "status": random.choice(("active", "completed", "completed", "stopped", "on-hold")),
        "intent": "order",
        "category": _OUTPATIENT,
        "subject": chart.patient,
        "encounter": visit.reference,
        "authoredOn": chart.moment(visit.begin + timedelta(minutes=15)),
        "requester": visit.practitioner,
        "dosageInstruction": [
            {"sequence": 1, "text": f"Take {amount} {times} x a day", "timing": timing, "route": _MOUTH}
            | {"doseAndRate": [{"type": hl7("dose-rate-type", "ordered")} | dose]}
        ],
        "dispenseRequest": {
            "numberOfRepeatsAllowed": random.randrange(4),
            "quantity": {"value": decimal(30 * amount * times, 1), "unit": unit.strip("{}")},
            "expectedSupplyDuration": {"value": 30, "unit": "days", "system": UCUM, "code": "d"},
        },
        "reasonCode": [{"coding": [{"system": SNOMED, "code": treats}]}],
    }
    if form == 0:
        content["medicationCodeableConcept"] = concept(RXNORM, rxnorm, name)
    elif form == 1 and kept:
        content["medicationReference"] = kept
    else:
        content["contained"] = [{"resourceType": "Medication", "id": "med"} | _medication(drug)]
        content["medicationReference"] = {"reference": "#med"}
    return content


def _dispense(
    chart: Chart, visit: Visit, drug: tuple[str, str, str, int, str, int, str], order: Json, kept: Json | None
) -> None:
    what: Json = (
        {"medicationReference": kept} if kept else {"medicationCodeableConcept": concept(RXNORM, drug[0], drug[1])}
    )
    content: Json = {
        "meta": {"profile": [US_CORE + "us-core-medicationdispense"]},
        "status": "completed",
        **what,
        "subject": chart.patient,
        "context": visit.reference,
        "authorizingPrescription": [order],
        "type": {"coding": [{"system": system("v3-ActCode"), "code": "FF"}]},
        "quantity": {"value": 30 * drug[3] * drug[5], "unit": drug[4].strip("{}")},
        "daysSupply": {"value": 30, "unit": "days", "system": UCUM, "code": "d"},
        "whenHandedOver": chart.moment(visit.begin + timedelta(days=1)),
    }
    chart.add("MedicationDispense", content)


def _administer(chart: Chart, visit: Visit, drug: tuple[str, str, str, int, str, int, str], order: Json) -> None:
    content: Json = {
        "status": "completed",
        "medicationCodeableConcept": concept(RXNORM, drug[0], drug[1]),
        "subject": chart.patient,
        "context": visit.reference,
        "request": order,
        "effectiveDateTime": chart.moment(visit.begin + timedelta(hours=3)),
        "dosage": {"text": "as ordered", "route": _MOUTH, "dose": {"value": drug[3], "unit": drug[4].strip("{}")}},
    }
    chart.add("MedicationAdministration", content)


def _statement(chart: Chart, visit: Visit) -> None:
    rxnorm, name, *_ = chart.random.choice(MEDICATIONS)
    content: Json = {
        "status": "active",
        "medicationCodeableConcept": {
            "coding": [{"system": RXNORM, "code": rxnorm, "display": name}],
            "text": "over the counter: " + name.partition(" ")[0],
        },
        "subject": chart.patient,
        "effectivePeriod": {"start": chart.loosely(visit.begin.date())},
        "dateAsserted": visit.begin.date().isoformat(),
        "informationSource": chart.patient,
        "dosage": [{"text": "when needed", "asNeededBoolean": True}],
    }
    chart.add("MedicationStatement", content)
