"""Observations: laboratory, vital signs, pregnancy, social history, and kinds that belong to no category."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sandbox.generator.chart import Chart, Visit, at, decimal, quantity
from sandbox.generator.vocabulary import (
    LOCAL,
    LOINC,
    PANELS,
    PREGNANCY_COUNTS,
    SMOKING,
    SNOMED,
    US_CORE,
    Json,
    Lab,
    coding,
    concept,
    hl7,
    system,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime


def _category(code: str, display: str) -> list[Json]:
    return [{"coding": [coding(system("observation-category"), code, display)], "text": display}]


LABORATORY: Final = _category("laboratory", "Laboratory")
VITAL_SIGNS: Final = _category("vital-signs", "Vital Signs")
SOCIAL: Final = _category("social-history", "Social History")
SURVEY: Final = _category("survey", "Survey")
_HIGH, _LOW = hl7("v3-ObservationInterpretation", "H"), hl7("v3-ObservationInterpretation", "L")
_NORMAL = hl7("v3-ObservationInterpretation", "N")
_LAB_PROFILE: Final[Json] = {"profile": [US_CORE + "us-core-observation-lab"]}
_BP_PROFILE: Final[Json] = {"profile": [US_CORE + "us-core-blood-pressure"]}
_BLOOD_PRESSURE: Final = concept(LOINC, "85354-9", "Blood pressure panel with all children optional")
_SYSTOLIC: Final = concept(LOINC, "8480-6", "Systolic blood pressure")
_DIASTOLIC: Final = concept(LOINC, "8462-4", "Diastolic blood pressure")
_OXYGEN: Final = {
    "coding": [
        coding(LOINC, "59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"),
        coding(LOINC, "2708-6", "Oxygen saturation in Arterial blood"),
    ],
    "text": "Oxygen saturation",
}
_SIMPLE_VITALS: Final = (
    (concept(LOINC, "8867-4", "Heart rate"), 74, 10, 0, "beats/minute", "/min"),
    (concept(LOINC, "9279-1", "Respiratory rate"), 15, 2, 0, "breaths/minute", "/min"),
    (concept(LOINC, "8310-5", "Body temperature"), 36.8, 0.3, 1, "Cel", "Cel"),
)
_LAB_CODES: Final = {
    lab.loinc: {
        "coding": [coding(LOINC, lab.loinc, lab.name), coding(LOCAL, lab.local, lab.local)],
        "text": lab.name.partition(" [")[0],
    }
    for _, _, labs in PANELS
    for lab in labs
}
_UNKNOWN: Final = hl7("data-absent-reason", "unknown")
_FAILED: Final = hl7("data-absent-reason", "error")


def _base(chart: Chart, visit: Visit, category: list[Json], code: Json) -> Json:
    when = chart.moment(visit.begin + timedelta(minutes=5))
    return {
        "status": "final",
        "category": category,
        "code": code,
        "subject": chart.patient,
        "encounter": visit.reference,
        "effectiveDateTime": when,
        "issued": when,
    }


def vital_signs(chart: Chart, visit: Visit) -> None:
    """Heart rate, breathing, temperature, weight and height, blood pressure as a panel, and pulse oximetry."""
    random = chart.random
    for code, mean, spread, decimals, unit, ucum in _SIMPLE_VITALS:
        base = _base(chart, visit, VITAL_SIGNS, code)
        if random.random() < 0.01:
            base["dataAbsentReason"] = _UNKNOWN
        else:
            base["valueQuantity"] = quantity(random.gauss(mean, spread), decimals, unit, ucum)
        chart.add("Observation", base)
    height = 1.62 if chart.sex == "female" else 1.76
    weight = height * height * random.gauss(26.5, 3)
    for loinc, name, value, decimals, unit, ucum in (
        ("29463-7", "Body weight", weight, 1, "kg", "kg"),
        ("8302-2", "Body height", height * 100, 0, "cm", "cm"),
        ("39156-5", "Body mass index (BMI) [Ratio]", weight / height**2, 2, "kg/m2", "kg/m2"),
    ):
        base = _base(chart, visit, VITAL_SIGNS, concept(LOINC, loinc, name))
        if loinc == "29463-7" and random.random() < 0.2:
            # Many scales of this country speak pounds.
            base["valueQuantity"] = quantity(value * 2.2046, 1, "lbs", "[lb_av]")
        else:
            base["valueQuantity"] = quantity(value, decimals, unit, ucum)
        chart.add("Observation", base)
    chart.add("Observation", {"meta": _BP_PROFILE} | _blood_pressure(chart, visit))
    oxygen = _base(chart, visit, VITAL_SIGNS, _OXYGEN)
    oxygen["valueQuantity"] = quantity(min(random.gauss(97.5, 1.2), 100), 0, "%", "%")
    if random.random() < 0.1:
        oxygen["component"] = [
            {
                "code": concept(LOINC, "3151-8", "Inhaled oxygen flow rate"),
                "valueQuantity": quantity(2, 1, "liters/min", "L/min"),
            },
            {"code": concept(LOINC, "3150-6", "Inhaled oxygen concentration"), "dataAbsentReason": _UNKNOWN},
        ]
    chart.add("Observation", oxygen)


def _blood_pressure(chart: Chart, visit: Visit) -> Json:
    random = chart.random
    base = _base(chart, visit, VITAL_SIGNS, _BLOOD_PRESSURE)
    systolic: Json = {"code": _SYSTOLIC}
    if random.random() < 0.02:
        systolic["dataAbsentReason"] = _FAILED
    else:
        systolic["valueQuantity"] = quantity(random.gauss(124, 13), 0, "mmHg", "mm[Hg]")
    base["component"] = [
        systolic,
        {"code": _DIASTOLIC, "valueQuantity": quantity(random.gauss(78, 8), 0, "mmHg", "mm[Hg]")},
    ]
    if random.random() < 0.3:
        base["bodySite"] = concept(SNOMED, "368209003", "Right upper arm structure")
    return base


def lab_results(chart: Chart, visit: Visit) -> tuple[list[Json], Sequence[Json]]:
    """One or two panels, and sometimes a result of a rarer form. Returns the results and the panels' codes."""
    results: list[Json] = []
    codes = []
    for loinc, name, labs in chart.random.sample(PANELS, 2 if chart.chance(0.5) else 1):
        codes.append(concept(LOINC, loinc, name))
        results += [_lab_result(chart, visit, lab) for lab in labs]
    if chart.chance(0.5):
        results.append(chart.add("Observation", _rare_result(chart, visit)))
    return results, codes


def _lab_result(chart: Chart, visit: Visit, lab: Lab) -> Json:
    random = chart.random
    base: Json = {"meta": _LAB_PROFILE} | _base(chart, visit, LABORATORY, _LAB_CODES[lab.loinc])
    base["referenceRange"] = [
        {
            "low": quantity(lab.low, lab.decimals, lab.unit, lab.ucum),
            "high": quantity(lab.high, lab.decimals, lab.unit, lab.ucum),
            "text": f"{lab.low}-{lab.high} {lab.unit}",
        }
    ]
    if random.random() < 0.012:
        base["status"] = "cancelled"
        base["dataAbsentReason"] = _FAILED
        base["note"] = [{"text": "Specimen haemolysed"}]
        return chart.add("Observation", base)
    value = max(random.gauss(lab.mean, lab.spread), lab.low * 0.4)
    base["valueQuantity"] = quantity(value, lab.decimals, lab.unit, lab.ucum)
    base["interpretation"] = [_HIGH if value > lab.high else _LOW if value < lab.low else _NORMAL]
    if random.random() < 0.03:
        base["status"] = "corrected"
    return chart.add("Observation", base)


def _rare_result(chart: Chart, visit: Visit) -> Json:
    """A result that is no plain number: a comparator, a range, a ratio, text, a code, a yes, or a moment."""
    random = chart.random
    form = random.randrange(7)
    if form == 0:
        base = _base(chart, visit, LABORATORY, concept(LOINC, "33914-3", "Glomerular filtration rate, estimated"))
        base["valueQuantity"] = quantity(60, 0, "mL/min/{1.73_m2}", "mL/min/{1.73_m2}") | {"comparator": ">"}
    elif form == 1:
        base = _base(chart, visit, LABORATORY, concept(LOINC, "5821-4", "Leukocytes in urine sediment"))
        base["valueRange"] = {"low": quantity(0, 0, "/[HPF]", "/[HPF]"), "high": quantity(5, 0, "/[HPF]", "/[HPF]")}
    elif form == 2:
        base = _base(chart, visit, LABORATORY, concept(LOINC, "5048-4", "Nuclear Ab [Titer] in Serum"))
        base["valueRatio"] = {"numerator": {"value": decimal(1, 0)}, "denominator": {"value": decimal(160, 0)}}
    elif form == 3:
        base = _base(chart, visit, LABORATORY, concept(LOINC, "5778-6", "Color of Urine"))
        base["valueString"] = random.choice(("Yellow", "Pale yellow", "Amber"))
    elif form == 4:
        base = _base(chart, visit, LABORATORY, concept(LOINC, "94500-6", "SARS-CoV-2 RNA by NAA with probe detection"))
        found = random.random() < 0.2
        base["valueCodeableConcept"] = (
            concept(SNOMED, "260373001", "Detected") if found else concept(SNOMED, "260415000", "Not detected")
        )
    elif form == 5:
        base = _base(chart, visit, LABORATORY, concept(LOCAL, "HPYL", "Helicobacter pylori, quick test"))
        base["valueBoolean"] = random.random() < 0.1
    else:
        base = _base(chart, visit, LABORATORY, concept(LOINC, "49049-8", "Collection time of Specimen"))
        base["valueDateTime"] = chart.moment(visit.begin)
    return base


def social_history(chart: Chart, visit: Visit, number: int) -> None:
    """Smoking at each check-up; drinking, occupation and intentions now and then."""
    random = chart.random
    smoking = _base(chart, visit, SOCIAL, concept(LOINC, "72166-2", "Tobacco smoking status"))
    smoking["meta"] = {"profile": [US_CORE + "us-core-smokingstatus"]}
    smoking["valueCodeableConcept"] = concept(SNOMED, *random.choice(SMOKING))
    chart.add("Observation", smoking)
    if random.random() < 0.5:
        drinks = _base(chart, visit, SOCIAL, concept(LOINC, "74013-4", "Alcoholic drinks per drinking day"))
        drinks["valueQuantity"] = quantity(random.randrange(5), 0, "{drinks}/d", "{drinks}/d")
        chart.add("Observation", drinks)
    if number == 0:
        work = _base(chart, visit, SOCIAL, concept(LOINC, "11341-5", "History of Occupation"))
        work["valueString"] = random.choice(("Teacher", "Welder", "Nurse", "Farmer", "Clerk", "Driver"))
        del work["effectiveDateTime"]
        work["effectivePeriod"] = {"start": f"{chart.birth.year + 22}"}
        chart.add("Observation", work)
    if chart.sex == "female" and random.random() < 0.2:
        intent = _base(chart, visit, SOCIAL, concept(LOINC, "86645-9", "Pregnancy intention in the next year"))
        intent["valueCodeableConcept"] = concept(SNOMED, "454381000124105", "Not sure of desire to become pregnant")
        chart.add("Observation", intent)
    if random.random() < 0.3:
        survey = _base(chart, visit, SURVEY, concept(LOINC, "44261-6", "Patient Health Questionnaire 9 item total"))
        survey["valueInteger"] = random.randrange(15)
        chart.add("Observation", survey)


def pregnancies(chart: Chart, visits: Sequence[Visit]) -> None:
    """Pregnancy status over time, due dates and counts, for those who may have been pregnant."""
    fertile = [visit for visit in visits if 18 <= _age(chart.birth, visit.begin) < 46]
    if chart.sex != "female" or not fertile:
        return
    random = chart.random
    pregnant: Visit | None = random.choice(fertile) if chart.chance(0.4) else None
    for visit in fertile[:: 1 + len(fertile) // 5]:
        status = _base(chart, visit, SOCIAL, concept(LOINC, "82810-3", "Pregnancy status"))
        status["meta"] = {"profile": [US_CORE + "us-core-observation-pregnancystatus"]}
        if visit is pregnant:
            status["valueCodeableConcept"] = concept(SNOMED, "77386006", "Pregnant")
        elif random.random() < 0.1:
            status["valueCodeableConcept"] = concept(SNOMED, "261665006", "Unknown")
        else:
            status["valueCodeableConcept"] = concept(SNOMED, "60001007", "Not pregnant")
        chart.add("Observation", status)
    if pregnant is None:
        return
    due = _base(chart, pregnant, SOCIAL, concept(LOINC, "11778-8", "Delivery date Estimated"))
    due["valueDateTime"] = (pregnant.begin + timedelta(days=150)).date().isoformat()
    chart.add("Observation", due)
    counts = {"11637-6": 0, "11612-9": 0, "11613-7": 0, "11614-5": 0, "33065-4": 0}
    born = random.randrange(1, 4)
    for loinc, name in PREGNANCY_COUNTS:
        count = _base(chart, pregnant, SOCIAL, concept(LOINC, loinc, name))
        if random.random() < 0.5:
            # Both forms are in use; US Core's examples count with a Quantity.
            count["valueInteger"] = counts.get(loinc, born)
        else:
            count["valueQuantity"] = quantity(counts.get(loinc, born), 0, "{#}", "{#}")
        chart.add("Observation", count)


def _age(birth: date, when: datetime) -> float:
    return (when - at(birth, 0, 0)).days / 365.25
