"""Odd records of many kinds, from the page to the row: what is right for each, in every table that has its like.

The kinds are those of public bug reports; the records are made up. Each goes the way of a night: checked as an entry of
a page, mended where the check remarked on its shape, laid out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tests.tables.staging import prepared
from transforms.checking import Checker, Owner
from transforms.checking.batches import CheckedRow, QuarantinedRow, check_pages
from transforms.checking.mending import mended, needs_mending
from transforms.classification import rules
from transforms.tables import all_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

ODD = Path(__file__).parents[3] / "shared" / "data" / "odd-records"
PATIENT = "p"
LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
REASONS = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
MINE = {"reference": f"Patient/{PATIENT}"}

Rows = dict[tuple[str, str], dict[str, Any]]
"""Rows by table and the key behind the link, each without what is NULL, false or empty."""


class Laid:
    """What came of some pages."""

    def __init__(self, pages: Sequence[bytes], patients: Sequence[str] = (PATIENT,)) -> None:
        checker = Checker()
        found = [
            row
            for patient in patients
            for row in check_pages(
                pages, Owner(patient, "https://clinic.example"), person_key="person", link_id="link", checker=checker
            )
        ]
        kept = [row for row in found if isinstance(row, CheckedRow)]
        names = {row.resource_id for row in kept}
        self.refused = {
            row.resource_id: row.rules
            for row in found
            if isinstance(row, QuarantinedRow) and row.resource_id not in names
        }
        self.texts = {row.resource_id: row.resource for row in kept}
        self.rows: Rows = {}
        self.additional: dict[str, str] = {}
        with duckdb.connect(config={"memory_limit": "1GB", "threads": 2}) as connection:
            self._build(connection, kept)

    def _build(self, connection: duckdb.DuckDBPyConnection, kept: Sequence[CheckedRow]) -> None:
        connection.execute("SET TimeZone = 'UTC'")
        keys = "link_id VARCHAR, resource_type VARCHAR, resource_id VARCHAR"
        connection.execute(f"CREATE TABLE staged (person_key VARCHAR, {keys}, last_updated VARCHAR, resource VARCHAR)")
        connection.execute(f"CREATE TABLE mended ({keys})")
        for row in kept:
            text = mended(row.resource) if needs_mending(row.remarks) else row.resource
            key = [row.link_id, row.resource_type, row.resource_id]
            connection.execute("INSERT INTO staged VALUES (?, ?, ?, ?, ?, ?)", ["person", *key, row.last_updated, text])
            if text != row.resource:
                connection.execute("INSERT INTO mended VALUES (?, ?, ?)", key)
        present = prepared(connection, mended="mended")
        for table in all_tables():
            built = connection.execute(table.select_sql(present))
            names = [column[0] for column in built.description or ()]
            for values in built.fetchall():
                shown = {
                    name: value for name, value in zip(names, values, strict=True) if value not in (None, [], False)
                }
                self.rows[table.name, shown["row_key"].split("/", 2)[2]] = shown
        told = connection.execute("SELECT resource_id, rule FROM classified WHERE category IS NULL").fetchall()
        self.additional = {name: rules()[rule].reason for name, rule in told}


def bundle(*resources: dict[str, Any]) -> bytes:
    entries = [{"resource": each} for each in ({"resourceType": "Patient", "id": PATIENT}, *resources)]
    return json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": entries}).encode()


def result(name: str, loinc: str = "718-7", category: str = "laboratory", **content: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": [{"coding": [{"system": CATEGORIES, "code": category}]}],
        "code": {"coding": [{"system": LOINC, "code": loinc}]},
        "subject": MINE,
        "effectiveDateTime": "2023-04-05",
    } | content


def part(loinc: str, **content: Any) -> dict[str, Any]:
    return {"code": {"coding": [{"system": LOINC, "code": loinc}]}, **content}


def absent(**value: str) -> dict[str, Any]:
    return {"extension": [{"url": ABSENT, **value}]}


def of(kind: str, name: str, **content: Any) -> dict[str, Any]:
    whose = "patient" if kind in {"AllergyIntolerance", "Immunization"} else "subject"
    return {"resourceType": kind, "id": name, whose: MINE, **content}


def order(name: str, **content: Any) -> dict[str, Any]:
    return of("MedicationRequest", name, status="active", intent="order", **content)


GRAMS = {"unit": "g/dL", "system": UCUM, "code": "g/dL"}
DRUG = {"medicationCodeableConcept": {"text": "saline"}}
YEARS = {"unit": "years", "system": UCUM, "code": "a"}

VALUES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    # a bound is no exact number, however it is written
    (
        result("le", valueQuantity={"value": 5, "comparator": "≤", **GRAMS}),
        "lab_results le/0",
        {"value": 5.0, "value_comparator": "<=", "value_canonical": 5.0, "value_canonical_unit": "g/dL"},
    ),
    (
        result("lt", valueQuantity={"value": 5, "comparator": "&lt;", **GRAMS}),
        "lab_results lt/0",
        {"value_comparator": "<"},
    ),
    (
        result("odd", valueQuantity={"value": 5, "comparator": "<>", **GRAMS}),
        "lab_results odd/0",
        {"value_comparator": "<>", "remarks": ["unknown-comparator"]},
    ),
    (
        result("inside", valueQuantity={"value": "&gt;&#x3D; 5", **GRAMS}),
        "lab_results inside/0",
        {"value": 5.0, "value_comparator": ">=", "value_text": "&gt;&#x3D; 5"},
    ),
    (
        result("both", valueQuantity={"value": "<5", "comparator": ">", **GRAMS}),
        "lab_results both/0",
        {"value": None, "value_text": "<5", "value_comparator": ">", "remarks": ["unread-number"]},
    ),
    (
        result("bound", valueString="<5.7 g/dL"),
        "lab_results bound/0",
        {
            "value": 5.7,
            "value_comparator": "<",
            "value_unit": "g/dL",
            "value_text": "<5.7 g/dL",
            "value_canonical": 5.7,
        },
    ),
    (
        result("concept", valueCodeableConcept={"text": ">= 100"}),
        "lab_results concept/0",
        {"value": 100.0, "value_comparator": ">=", "remarks": ["missing-unit"]},
    ),
    # numbers sent as text; what is none stays words
    (
        result("text", valueQuantity={"value": "13.10", **GRAMS}),
        "lab_results text/0",
        {"value": 13.1, "value_text": "13.10", "remarks": ["mended-shape"]},
    ),
    (
        result("unit", valueQuantity={"value": "13 g/dL"}),
        "lab_results unit/0",
        {"value": 13.0, "value_unit": "g/dL", "value_canonical": 13.0},
    ),
    (
        result("other", valueQuantity={"value": "13 mmol/L", **GRAMS}),
        "lab_results other/0",
        {"value": None, "value_text": "13 mmol/L", "value_unit": "g/dL", "remarks": ["unread-number"]},
    ),
    (
        result("feet", "8302-2", "vital-signs", valueQuantity={"value": "5 ft 2 in"}),
        "vitals feet/0",
        {"value": None, "value_text": "5 ft 2 in", "has_value": True, "remarks": ["unread-number"]},
    ),
    (result("integer", valueInteger="7"), "lab_results integer/0", {"value": 7.0, "value_text": "7"}),
    # ranges and ratios: each part with its comparator and unit
    (
        result(
            "range",
            valueRange={"low": {"value": "1", "comparator": ">", **GRAMS}, "high": {"value": 3, "unit": "g/dL"}},
        ),
        "lab_results range/0",
        {
            "value": None,
            "value_low": 1.0,
            "value_low_comparator": ">",
            "value_low_unit_code": "g/dL",
            "value_high": 3.0,
            "value_high_unit": "g/dL",
        },
    ),
    (
        result("range-text", valueQuantity={"value": "3-5", **GRAMS}),
        "lab_results range-text/0",
        {"value": None, "value_low": 3.0, "value_high": 5.0, "value_high_unit_code": "g/dL", "remarks": None},
    ),
    (
        result("titre", "5130-1", valueString="<1:8"),
        "lab_results titre/0",
        {
            "value_numerator": 1.0,
            "value_denominator": 8.0,
            "value_denominator_comparator": "<",
            "value_comparator": None,
        },
    ),
    (
        result(
            "ratio",
            "14959-1",
            valueRatio={
                "numerator": {"value": 3, "unit": "mg"},
                "denominator": {"value": 1, "comparator": "&gt;", "unit": "g"},
            },
        ),
        "lab_results ratio/0",
        {"value_numerator_unit": "mg", "value_denominator_comparator": ">", "value_denominator_unit": "g"},
    ),
    (
        result("series", valueSampledData={"origin": {"value": "0", "unit": "mV"}, "period": 10, "data": "1 2 E"}),
        "lab_results series/0",
        {"has_value": True, "value": None},
    ),
    # words and codes that say yes or no
    (result("words", valueString="POSITIVE."), "lab_results words/0", {"is_positive": True, "value_text": "POSITIVE."}),
    (
        result(
            "coded",
            interpretation={
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": "POS"}
                ]
            },
        ),
        "lab_results coded/0",
        {"is_positive": True, "interpretation_code": "POS", "has_value": None, "remarks": ["mended-shape"]},
    ),
    (result("note", note="haemolyzed"), "lab_results note/0", {"has_value": None, "remarks": ["mended-shape"]}),
    # no value, and why
    (
        result("why", dataAbsentReason={"text": "specimen lost"}),
        "lab_results why/0",
        {"data_absent_reason_text": "specimen lost", "has_value": None},
    ),
    (
        result("why-display", dataAbsentReason={"coding": [{"display": "not asked"}]}),
        "lab_results why-display/0",
        {"data_absent_reason_display": "not asked"},
    ),
    (
        result("why-text", _valueString=absent(valueCode="masked")),
        "lab_results why-text/0",
        {"data_absent_reason_code": "masked", "data_absent_reason_system": REASONS, "has_value": None},
    ),
    (
        result("why-number", valueQuantity={"_value": absent(valueCode="unknown"), "unit": "g/dL"}),
        "lab_results why-number/0",
        {"data_absent_reason_code": "unknown", "value_unit": "g/dL", "has_value": None},
    ),
    (
        result("why-twin", _valueQuantity=absent(valueCode="error")),
        "lab_results why-twin/0",
        {"data_absent_reason_code": "error", "has_value": None},
    ),
    (
        result("why-words", valueQuantity=absent(valueString="machine broke")),
        "lab_results why-words/0",
        {"data_absent_reason_text": "machine broke", "data_absent_reason_code": None},
    ),
    (
        result("why-value", valueCodeableConcept={"coding": [{"system": REASONS, "code": "unknown"}]}),
        "lab_results why-value/0",
        {"data_absent_reason_code": "unknown", "value_code": "unknown", "has_value": None},
    ),
    # years that nobody means
    (result("old", effectiveDateTime="0105-02-03"), "lab_results old/0", {"effective_start_precision": "day"}),
    (result("far", effectiveDateTime="9999-12-31T23:59:59Z"), "lab_results far/0", {"effective_start_offset": "Z"}),
]

PRESSURES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (
        result(
            "bp",
            "85354-9",
            "vital-signs",
            component=[
                part(
                    "8480-6",
                    valueQuantity={"value": "16", "comparator": "&gt;", "unit": "kPa", "system": UCUM, "code": "kPa"},
                ),
                part("8462-4", dataAbsentReason={"text": "cuff failed"}),
            ],
        ),
        "vitals bp/0",
        {"systolic": 16.0, "systolic_comparator": ">", "systolic_canonical_unit": "mm[Hg]", "diastolic": None},
    ),
    (
        result("bp", "85354-9", "vital-signs"),
        "vitals bp/2",
        {"data_absent_reason_text": "cuff failed", "code": "8462-4"},
    ),
    (
        result(
            "bp-text",
            "85354-9",
            "vital-signs",
            component=[part("8480-6", valueString="118"), part("8462-4", valueInteger=77)],
        ),
        "vitals bp-text/0",
        {"systolic": 118.0, "systolic_text": "118", "diastolic": 77.0},
    ),
    (
        result("bp-words", "85354-9", "vital-signs", valueString="120/80 mmHg"),
        "vitals bp-words/0",
        {"systolic": 120.0, "diastolic": 80.0, "diastolic_unit": "mmHg", "diastolic_canonical": 80.0},
    ),
]

OTHERS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    # an age, a length, a dose, a rate and what a dose may be at most are quantities too
    (
        of(
            "Condition",
            "age",
            code={"text": "x"},
            clinicalStatus="active",
            abatementRange={"low": {"value": 1, **YEARS}},
            onsetAge={"value": "7", "comparator": "≥", **YEARS},
        ),
        "conditions age/0",
        {
            "onset_age": 7.0,
            "onset_age_comparator": ">=",
            "status": "active",
            "abatement_low": 1.0,
            "abatement_low_unit_code": "a",
            "effective_start": None,
        },
    ),
    (
        of(
            "Procedure",
            "age",
            status="completed",
            code={"text": "x"},
            performedAge={"value": 5, "comparator": "=<", **YEARS},
        ),
        "procedures age/0",
        {"performed_age": 5.0, "performed_age_comparator": "<="},
    ),
    (
        of(
            "Encounter",
            "length",
            status="finished",
            length={"value": "30", "unit": "min", "comparator": "≤"},
            **{"class": {"code": "AMB"}},
        ),
        "visits length/0",
        {"duration": 30.0, "duration_comparator": "<="},
    ),
    (
        of(
            "Immunization",
            "dose",
            status="completed",
            vaccineCode={"text": "flu"},
            occurrenceString="last autumn",
            doseQuantity={"value": "0.5", "unit": "mL", "comparator": "~"},
        ),
        "vaccines dose/0",
        {"dose": 0.5, "dose_comparator": "~", "occurrence_text": "last autumn"},
    ),
    (
        order(
            "steps",
            **DRUG,
            dosageInstruction={
                "doseAndRate": [
                    {
                        "doseQuantity": {"value": "1.8", "unit": "mg", "comparator": "<="},
                        "rateQuantity": {"value": "2-3", "unit": "mL/h"},
                    }
                ],
                "maxDosePerPeriod": {
                    "numerator": {"value": 4, "unit": "g", "comparator": "<"},
                    "denominator": {"value": 1, "unit": "d"},
                },
                "timing": {"repeat": {"boundsRange": {"low": {"value": "3", "unit": "d"}}, "frequency": "2"}},
            },
        ),
        "medication_dosages steps/0/1",
        {
            "dose": 1.8,
            "dose_comparator": "<=",
            "rate": None,
            "rate_text": "2-3",
            "max_dose_per_period_numerator_comparator": "<",
            "max_dose_per_period_denominator_unit": "d",
            "timing_bounds_low": 3.0,
            "timing_frequency": 2,
        },
    ),
    (
        order(
            "rate",
            **DRUG,
            dosageInstruction=[{"doseAndRate": [{"rateRange": {"low": {"value": 0.2, "unit": "mL/h"}}}]}],
        ),
        "medication_dosages rate/0/1",
        {"rate_low": 0.2, "rate_low_unit": "mL/h"},
    ),
    (
        of(
            "MedicationAdministration",
            "given",
            status="completed",
            medicationCodeableConcept={"text": "x"},
            dosage={
                "dose": {"value": "1.5", "unit": "mg"},
                "rateRatio": {
                    "numerator": {"value": 1, "comparator": ">", "unit": "mL"},
                    "denominator": {"value": 2, "unit": "h"},
                },
            },
        ),
        "medication_dosages given/0/1",
        {"dose": 1.5, "rate_numerator_comparator": ">", "rate_denominator_unit": "h"},
    ),
    # words in place of dates
    (
        of("Condition", "words", code={"text": "x"}, onsetString="as a teenager", abatementString="last spring"),
        "conditions words/0",
        {"onset_text": "as a teenager", "abatement_text": "last spring", "effective_start": None},
    ),
    (
        of("Condition", "iso", code={"text": "x"}, onsetString="2024-02-05T00:00:01.000Z"),
        "conditions iso/0",
        {"onset_text": "2024-02-05T00:00:01.000Z", "effective_start_precision": "second", "remarks": ["date-in-words"]},
    ),
    (
        of("AllergyIntolerance", "words", code={"text": "nuts"}, onsetRange={"high": {"value": 9, **YEARS}}),
        "allergies words/0",
        {"onset_high": 9.0, "onset_high_unit": "years"},
    ),
    # what it is about is named elsewhere, or nowhere
    (
        of(
            "AllergyIntolerance",
            "pollen",
            reaction=[{"substance": {"coding": [{"system": SNOMED, "code": "256277009"}]}}],
        ),
        "allergies pollen/0",
        {"code": "256277009", "remarks": None},
    ),
    (
        of("AllergyIntolerance", "unnamed", reaction=[{"manifestation": [{"text": "hives"}]}]),
        "allergies unnamed/0",
        {"code": None, "text": None, "remarks": ["names-nothing"]},
    ),
    (
        order(
            "hash",
            contained=[{"resourceType": "Medication", "id": "#m", "code": {"text": "metformin"}}],
            medicationReference={"reference": "#m"},
        ),
        "medications hash/0",
        {"text": "metformin", "remarks": None},
    ),
    (
        of(
            "MedicationStatement",
            "parts",
            status="active",
            contained=[
                {
                    "resourceType": "Medication",
                    "id": "m",
                    "ingredient": [
                        {"itemReference": {"reference": "#s"}},
                        {"itemCodeableConcept": {"text": "codeine"}},
                    ],
                },
                {"resourceType": "Substance", "id": "s", "code": {"text": "caffeine"}},
            ],
            medicationReference={"reference": "#m"},
        ),
        "medications parts/0",
        {"text": "caffeine / codeine", "remarks": None},
    ),
    (
        of("MedicationDispense", "display", status="completed", medicationReference={"display": "Aspirin 81"}),
        "medications display/0",
        {"text": "Aspirin 81"},
    ),
    (
        of(
            "MedicationAdministration",
            "unnamed",
            status="completed",
            contained=[{"resourceType": "Medication", "id": "m"}],
            medicationReference={"reference": "#m"},
        ),
        "medications unnamed/0",
        {"text": None, "remarks": ["names-nothing"]},
    ),
    # ids as servers write them
    (
        of(
            "Condition",
            "under_score-" + "x" * 90,
            code={"text": "x"},
            encounter={"reference": "Encounter/e_" + "y" * 90},
        ),
        "conditions under_score-" + "x" * 90 + "/0",
        {"encounter_key": "link/Encounter/e_" + "y" * 90, "remarks": ["unusual-id"]},
    ),
    # shapes of other versions of FHIR
    (
        order("r5", medication={"concept": {"text": "ibuprofen"}}),
        "medications r5/0",
        {"text": "ibuprofen", "remarks": ["mended-shape"]},
    ),
    (
        of(
            "Encounter",
            "r5",
            status="completed",
            actualPeriod={"start": "2024-01-01"},
            admission={"dischargeDisposition": {"text": "home"}},
            **{"class": [{"coding": [{"code": "IMP"}]}]},
        ),
        "visits r5/0",
        {"class_code": "IMP", "discharge_text": "home", "effective_start_precision": "day"},
    ),
    (
        of(
            "AllergyIntolerance",
            "r5",
            code={"text": "nuts"},
            type={"coding": [{"code": "allergy"}]},
            reaction=[{"manifestation": [{"concept": {"text": "hives"}}]}],
        ),
        "allergy_reactions r5/0/1",
        {"manifestation_text": "hives"},
    ),
    (
        of("Immunization", "stu3", status="completed", vaccineCode={"text": "flu"}, date="2015-01-02"),
        "vaccines stu3/0",
        {"effective_start_precision": "day", "remarks": ["mended-shape"]},
    ),
]

CASES = VALUES + PRESSURES + OTHERS


@pytest.fixture(scope="module")
def laid() -> Laid:
    """All cases, laid out at once."""
    resources = {(each["resourceType"], each["id"]): each for each, _, _ in reversed(CASES)}
    return Laid([bundle(*resources.values())])


@pytest.mark.parametrize(("where", "expected"), [case[1:] for case in CASES], ids=[case[1] for case in CASES])
def test_an_odd_record_shows_what_it_says(laid: Laid, where: str, expected: dict[str, Any]) -> None:
    table, _, key = where.partition(" ")
    row = laid.rows[table, key]
    assert {name: row.get(name) for name in expected} == expected


def test_nothing_is_lost_on_the_way(laid: Laid) -> None:
    assert laid.refused == {}
    assert {name for name in laid.additional if name != PATIENT} == set()


WRITTEN: list[tuple[Any, str, str | None]] = [
    ([{"coding": [{"system": "http://hl7.org/fhir/observation-category", "code": "laboratory"}]}], "x", "lab_results"),
    ([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}], "x", "lab_results"),
    ([{"coding": [{"code": "laboratory"}]}], "x", "lab_results"),
    ([{"text": "Vital Signs"}], "x", "vitals"),
    ({"text": "laboratory"}, "x", "lab_results"),
    ("laboratory", "x", "lab_results"),
    (None, "718-7", "lab_results"),
    (None, "x", None),
    ([{"text": "imaging"}], "x", None),
]


def test_a_category_is_read_however_it_is_written_or_the_record_is_counted() -> None:
    resources = []
    for number, (category, loinc, _) in enumerate(WRITTEN):
        resource = result(f"o{number}", loinc) | {"category": category}
        resources.append({name: value for name, value in resource.items() if value is not None})
    laid = Laid([bundle(*resources)])
    assert set(laid.rows) == {(table, f"o{number}/0") for number, (_, _, table) in enumerate(WRITTEN) if table}
    uncounted = {f"o{number}" for number, (_, _, table) in enumerate(WRITTEN) if not table} - laid.additional.keys()
    assert uncounted == set()


def test_a_broken_entry_costs_itself_alone() -> None:
    page = bundle(*(result(name, valueQuantity={"value": 5.88, **GRAMS}) for name in ("before", "broken", "behind")))
    middle = page.index(b'"broken"')
    torn = page[:middle] + page[middle:].replace(b"5.88", b"05.88", 1)
    laid = Laid([torn, bundle(result("next", valueQuantity={"value": 1e3, **GRAMS}))])
    assert {key for table, key in laid.rows if table == "lab_results"} == {"before/0", "behind/0", "next/0"}
    assert laid.refused == {"broken": ["CH201"]}


def test_a_number_beyond_a_double_is_text_and_marked() -> None:
    huge = bundle(
        result("value", valueQuantity={"value": 77, **GRAMS}),
        of("Condition", "age", code={"text": "x"}, onsetAge={"value": 77, **YEARS}),
        order("dose", **DRUG, dosageInstruction=[{"doseAndRate": [{"doseQuantity": {"value": 77, "unit": "mg"}}]}]),
    ).replace(b"77", b"1E400")
    laid = Laid([huge])
    found = {}
    for where, name in (
        (("lab_results", "value/0"), "value"),
        (("conditions", "age/0"), "onset_age"),
        (("medication_dosages", "dose/0/1"), "dose"),
        (("medications", "dose/0"), "dose"),
    ):
        row = laid.rows[where]
        found[where] = (row.get(name), row[f"{name}_text"], row["remarks"])
    assert set(map(str, found.values())) == {str((None, "1E400", ["unread-number"]))}


SHARED: dict[str, dict[str, dict[str, Any]]] = {
    "allergy-reaction-substance": {
        "allergies a17-nocode/0": {"code": "256277009", "display": "Grass pollen", "text": "grass"}
    },
    "category-other-systems": {
        f"lab_results o15-{name}/0": {"value": 13.0, "remarks": remarks}
        for name, remarks in {
            "stu3lab": None,
            "v2lab": None,
            "nosys": None,
            "textcat": None,
            "nocatlab": None,
            "catobj": ["mended-shape"],
        }.items()
    },
    "contained-hash-id": {
        "medications m19-hash/0": {"rxnorm_code": "860975", "display": "metformin 500 MG", "remarks": None}
    },
    "contained-ingredients-only": {
        "medications m19-ingr/0": {
            "rxnorm_code": "6809",
            "text": "metformin / sitagliptin",
            "remarks": ["code-of-one-ingredient"],
        }
    },
    "data-absent-reason-text": {
        "lab_results o16-dartext/0": {"data_absent_reason_text": "specimen lost", "has_value": None},
        "vitals o15-sysstr/0": {"systolic": 120.0, "diastolic": None},
        "vitals o15-sysstr/1": {"value": 120.0, "value_text": "120"},
        "vitals o15-sysstr/2": {"data_absent_reason_text": "cuff failed"},
    },
    "id-over-64": {"lab_results o05_under_score/0": {"value": 13.2, "remarks": ["unusual-id"]}},
    "interpretation-or-note-only": {
        "lab_results o16-interp/0": {"interpretation_code": "POS", "is_positive": True, "has_value": None},
        "lab_results o16-note/0": {"has_value": None},
    },
    "leading-zero-page": {"lab_results o03-good/0": {"value": 65.88}},
    "number-out-of-double": {
        "lab_results o18-over/0": {"value": None, "value_unit": "g/dL", "remarks": ["unread-number"]}
    },
    "onset-string-range": {
        "conditions k10-words/0": {"onset_text": "as a teenager"},
        "conditions k10-range/0": {"onset_low": 30.0, "onset_high": 40.0, "onset_high_unit_code": "a"},
        "conditions k10-abstr/0": {"abatement_text": "last spring", "effective_start_precision": "month"},
        "conditions k10-isostr/0": {"onset_text": "2024-02-05T00:00:01.000Z", "effective_start_precision": "second"},
        "procedures x10-str/0": {"performed_text": "in childhood"},
        "procedures x10-range/0": {"performed_low": 8.0, "performed_high_unit": "years"},
    },
    "quantity-value-as-string": {
        "lab_results o02-str/0": {"value": 1.8, "value_text": "1.8", "has_value": True},
        "lab_results o02-unitin/0": {"value": 120.0, "value_unit": "mg/dL", "value_text": "120 mg/dL"},
        "vitals o02-ft/0": {"value": None, "value_text": "5 ft 2 in", "has_value": True},
        "lab_results o02-range/0": {"value": None, "value_low": 100.0, "value_high": 300.0, "value_text": "100-300"},
        "lab_results o02-esc/0": {"value": 149.0, "value_comparator": "<=", "value_text": "&lt;&#x3D;149"},
    },
    "rate-ratio-range": {
        "medication_dosages m11-ratio/0/1": {
            "rate_numerator": 250.0,
            "rate_numerator_unit": "mL",
            "rate_denominator_unit": "h",
        },
        "medication_dosages m11-ratr/0/1": {"rate_low": 0.2, "rate_high": 0.5, "rate_high_unit": "mL/h"},
    },
    "ratio-comparator-units": {
        "lab_results o11-titer/0": {"value_denominator": 128.0, "value_denominator_comparator": ">=", "value": None},
        "lab_results o11-ratiou/0": {"value_numerator_unit_code": "mg", "value_denominator_unit_code": "g"},
    },
    "value-extension-only": {
        "lab_results o16-ext/0": {"has_value": None, "data_absent_reason_code": "masked"},
        "lab_results o16-qext/0": {"has_value": None, "data_absent_reason_code": "unknown", "value_unit": "g/dL"},
    },
    "value-range-unit": {
        "lab_results o11-range/0": {"value_low": 70.0, "value_low_unit": "mg/dL", "value_high_unit_code": "mg/dL"}
    },
}


@pytest.fixture(scope="module")
def shared() -> Laid:
    """What comes of the shared files, laid out at once: no two have a record of the same id."""
    pages = [file.read_bytes() for file in sorted(ODD.glob("*.json"))]
    people = {name for page in pages for name in re.findall(r'"Patient",\s*"id":\s*"(\w+)"', page.decode())}
    return Laid(pages, sorted(people))


@pytest.mark.shared_data
def test_every_shared_file_has_an_answer(shared: Laid) -> None:
    assert {file.stem for file in ODD.glob("*.json")} == set(SHARED)
    assert shared.refused == {"o03-zero": ["CH201"]}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", SHARED)
def test_a_shared_file_is_right(shared: Laid, name: str) -> None:
    for where, expected in SHARED[name].items():
        table, _, key = where.partition(" ")
        row = dict(shared.rows[table, key])
        # Several of the files say the same of the same day, each in another shape.
        row["remarks"] = [each for each in row.get("remarks", ()) if each != "repeated-result"] or None
        assert {column: row.get(column) for column in expected} == expected, where
