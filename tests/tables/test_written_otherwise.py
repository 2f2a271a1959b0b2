"""One thing said in other letters, words, systems or dates is one thing: whether it counts, what it is, when it was."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tables.test_odd_records import (
    ABSENT,
    DRUG,
    GRAMS,
    LOINC,
    REASONS,
    SNOMED,
    Laid,
    bundle,
    of,
    order,
    part,
    result,
)

CONDITION = {"code": {"text": "asthma"}}
VER = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CVX = "http://hl7.org/fhir/sid/cvx"
IPS = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"


def condition(name: str, **content: Any) -> dict[str, Any]:
    return of("Condition", name, **{**CONDITION, **content})


def coded(*codings: tuple[str | None, str], **more: str) -> dict[str, Any]:
    return {
        "coding": [{"system": system, "code": code} if system else {"code": code} for system, code in codings]
    } | more


def allergy(name: str, **code: Any) -> dict[str, Any]:
    return of("AllergyIntolerance", name, code=code)


WRONG = {"is_entered_in_error": True}
NOT_SO = {"is_negated": True}

COUNTS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    # entered in error, refuted: however it is written
    (condition("e-text", verificationStatus={"text": "Entered in Error"}), "conditions e-text/0", WRONG),
    (condition("e-caps", verificationStatus=coded((None, "ENTERED_IN_ERROR"))), "conditions e-caps/0", WRONG),
    (
        condition("e-show", verificationStatus={"coding": [{"display": "entered in error"}]}),
        "conditions e-show/0",
        WRONG,
    ),
    (result("e-obs", status="Entered-In-Error"), "lab_results e-obs/0", {**WRONG, "status": "entered-in-error"}),
    (order("e-drug", **DRUG) | {"status": "ENTERED IN ERROR"}, "medications e-drug/0", WRONG),
    (condition("refuted", verificationStatus={"text": "Refuted"}), "conditions refuted/0", NOT_SO),
    (
        condition("local", clinicalStatus=coded(("urn:local", "R"), (CLINICAL, "remission"))),
        "conditions local/0",
        {"status": "remission", "is_negated": None},
    ),
    (
        condition("ver", verificationStatus=coded(("urn:local", "5"), (VER, "refuted"))),
        "conditions ver/0",
        {"verification_status_code": "refuted", **NOT_SO},
    ),
    (condition("words", clinicalStatus={"text": "Active"}), "conditions words/0", {"status": "active"}),
    (result("caps", status="FINAL"), "lab_results caps/0", {"status": "final", "remarks": ["mended-shape"]}),
    (result("other", status="verified"), "lab_results other/0", {"status": "verified", "remarks": None}),
    # nothing was done
    (of("Encounter", "called-off", status="cancelled"), "visits called-off/0", NOT_SO),
    (
        of("MedicationDispense", "kept", status="declined", statusReasonCodeableConcept={"text": "unsafe"}, **DRUG),
        "medications kept/0",
        {**NOT_SO, "status_reason_text": "unsafe"},
    ),
    (order("called-off", **DRUG) | {"status": "cancelled"}, "medications called-off/0", {"is_negated": None}),
    (
        of("MedicationStatement", "left", status="not-taken", statusReason=[{"text": "cost"}], **DRUG),
        "medications left/0",
        {**NOT_SO, "not_done_reason_text": "cost"},
    ),
    (
        of("Immunization", "none", status="completed", vaccineCode={"coding": [{"system": CVX, "code": "998"}]}),
        "vaccines none/0",
        {"is_negated": None},  # a code alone may be another system's
    ),
    (
        of("Immunization", "none-said", status="completed", vaccineCode={"text": "No vaccine administered"}),
        "vaccines none-said/0",
        NOT_SO,
    ),
    # there is none, or nobody knows
    (allergy("file", text="No known allergies on file"), "allergies file/0", {**NOT_SO, "remarks": None}),
    (allergy("denies", text="Patient denies drug allergies."), "allergies denies/0", NOT_SO),
    (allergy("drugs", text="No Known Allergies to Drugs"), "allergies drugs/0", NOT_SO),
    (allergy("steel", text="Nickel"), "allergies steel/0", {"is_negated": None}),
    (
        allergy("unasked", **coded((SNOMED, "1631000175102"), text="Not on File")),
        "allergies unasked/0",
        {**NOT_SO, "remarks": ["nothing-known"]},
    ),
    (
        condition("unknown", code=coded((IPS, "no-problem-info"))),
        "conditions unknown/0",
        {**NOT_SO, "remarks": ["nothing-known"]},
    ),
    (condition("none", code={"text": "No active problems"}), "conditions none/0", {**NOT_SO, "remarks": None}),
    (
        of(
            "MedicationStatement",
            "none",
            status="active",
            medicationCodeableConcept={"text": "Not taking any medications"},
        ),
        "medications none/0",
        NOT_SO,
    ),
    (
        of("Procedure", "none", status="completed", code={"text": "No past surgical history"}),
        "procedures none/0",
        NOT_SO,
    ),
]

SYSTEMS: list[tuple[str, dict[str, Any]]] = [
    ("http://snomed.info/sct/731000124108", {"snomed_code": "195967001", "code_system": SNOMED}),
    ("http://snomed.info/sct/83821000000107/version/20230412", {"snomed_code": "195967001", "code_system": SNOMED}),
    ("2.16.840.1.113883.6.96", {"snomed_code": "195967001", "code_system": SNOMED}),
    ("SNOMED-CT", {"snomed_code": "195967001", "code_system": SNOMED}),
    ("HTTPS://www.SNOMED.info/sct/", {"snomed_code": "195967001", "code_system": SNOMED}),
    ("urn:oid:2.16.840.1.113883.6.3", {"icd10_code": "195967001", "code_system": "http://hl7.org/fhir/sid/icd-10"}),
    ("http://hl7.org/fhir/sid/icd-9-cm", {"icd9_code": "195967001", "snomed_code": None}),
    ("urn:local", {"snomed_code": None, "code_system": "urn:local"}),
]

BEST: list[tuple[list[tuple[str | None, str]], str]] = [
    ([("urn:local", "1"), ("http://hl7.org/fhir/sid/icd-9-cm", "250.00")], "250.00"),
    ([(REASONS, "unknown"), ("urn:local", "7")], "7"),
    ([("urn:local", "1"), ("urn:oid:2.16.840.1.113883.6.90", "E11.9"), ("SNOMED CT", "44054006")], "44054006"),
]

DATES: list[tuple[str, dict[str, Any]]] = [
    ("20200203", {"effective_start_precision": "day", "day": "2020-02-03"}),
    ("20200203233000-0500", {"at": "2020-02-04T04:30:00+00:00", "effective_start_offset": "-05:00"}),
    ("2020-02-03T23:30:00-0500", {"at": "2020-02-04T04:30:00+00:00", "day": "2020-02-03"}),
    ("2020-02-03t10:00:00,5z", {"at": "2020-02-03T10:00:00.500000+00:00"}),
    ("2020-02-03T24:00:00Z", {"at": "2020-02-04T00:00:00+00:00", "day": "2020-02-04"}),
    ("2016-12-31T23:59:60Z", {"at": "2016-12-31T23:59:59+00:00", "day": "2016-12-31", "remarks": None}),
    ("2020-02-00", {"effective_start_precision": "month"}),
    ("2020-2-3", {"day": "2020-02-03"}),
    ("2020-02-03+01:00", {"effective_start_precision": "day", "day": "2020-02-03"}),
    ("0001-01-01T00:00:00+14:00", {"day": "0001-01-01"}),
    *((text, {"text": text}) for text in ("02/03/2020", "2020-02-30", "12020-01-01", "-020-01-01", "2020-02-03T10")),
]


@pytest.fixture(scope="module")
def laid() -> Laid:
    """All of them, laid out at once."""
    given = [each for each, _, _ in COUNTS]
    given += [condition(f"system-{nth}", code=coded((system, "195967001"))) for nth, (system, _) in enumerate(SYSTEMS)]
    given += [condition(f"best-{nth}", code=coded(*codings)) for nth, (codings, _) in enumerate(BEST)]
    given += [condition(f"date-{nth}", onsetDateTime=text) for nth, (text, _) in enumerate(DATES)]
    given.append(result("www", valueQuantity={"value": 13, **GRAMS}, code=coded(("http://www.LOINC.org/", "718-7"))))
    given.append(result("why", dataAbsentReason=coded(("urn:local", "x"), (REASONS, "masked"))))
    given.append(
        result("no-code", code={"coding": [{"extension": [{"url": ABSENT, "valueCode": "unknown"}]}], "text": "x"})
    )
    for name in ("twice-a", "twice-b"):
        given.append(result(name, valueQuantity={"value": 9.5, **GRAMS}))
        given.append(result(f"{name}-month", valueQuantity={"value": 9.5, **GRAMS}, effectiveDateTime="2023-04"))
        parts = [part("8480-6", valueQuantity={"value": 120, "unit": "mmHg"})]
        given.append(result(f"{name}-pressure", "85354-9", "vital-signs", component=parts))
    given.append(result("twice-wrong", status="entered-in-error", valueQuantity={"value": 9.5, **GRAMS}))
    return Laid([bundle(*given)])


@pytest.mark.parametrize(("where", "expected"), [case[1:] for case in COUNTS], ids=[case[1] for case in COUNTS])
def test_whether_it_counts(laid: Laid, where: str, expected: dict[str, Any]) -> None:
    table, _, key = where.partition(" ")
    row = laid.rows[table, key]
    assert {name: row.get(name) for name in expected} == expected


@pytest.mark.parametrize("nth", range(len(SYSTEMS)), ids=[system for system, _ in SYSTEMS])
def test_a_system_is_the_same_however_it_is_written(laid: Laid, nth: int) -> None:
    expected, row = SYSTEMS[nth][1], laid.rows["conditions", f"system-{nth}/0"]
    assert {name: row.get(name) for name in expected} == expected


def test_what_is_measured_is_known_however_the_system_is_written(laid: Laid) -> None:
    row = laid.rows["lab_results", "www/0"]
    assert (row["loinc_code"], row["code_system"], row["value_canonical"]) == ("718-7", LOINC, 13.0)


@pytest.mark.parametrize("nth", range(len(BEST)))
def test_a_standard_code_is_shown_before_a_local_one_and_no_reason_before_either(laid: Laid, nth: int) -> None:
    assert laid.rows["conditions", f"best-{nth}/0"]["code"] == BEST[nth][1]
    assert laid.rows["lab_results", "why/0"]["data_absent_reason_code"] == "masked"


def test_a_result_that_is_sent_twice_is_marked_but_for_the_first(laid: Laid) -> None:
    marked = {key for (_, key), row in laid.rows.items() if "repeated-result" in row.get("remarks", ())}
    assert marked == {"twice-b/0", "twice-b-pressure/0", "twice-b-pressure/1"}


@pytest.mark.parametrize("nth", range(len(DATES)), ids=[text for text, _ in DATES])
def test_a_date_that_means_one_day_is_read_and_any_other_stands_beside(laid: Laid, nth: int) -> None:
    expected, row = dict(DATES[nth][1]), laid.rows["conditions", f"date-{nth}/0"]
    if "text" in expected:
        assert row["unread_dates"] == [{"element": "effective_start", "text": expected["text"]}]
        assert (row.get("effective_start"), row["remarks"]) == (None, ["unread-date"])
        return
    if "at" in expected:
        assert row["effective_start"].isoformat() == expected.pop("at")
    if "day" in expected:
        assert str(row["effective_start_day"]) == expected.pop("day")
    assert {name: row.get(name) for name in expected} == expected
