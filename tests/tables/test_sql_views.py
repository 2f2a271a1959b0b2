"""What the views make of records as servers send them: one build a view, in which each case has a day or a drug."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.tables.staging import with_views
from transforms.tables import table, tables

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    from transforms.tables import Presence

    Resource = dict[str, Any]
    Show = Callable[..., list[dict[str, Any]]]

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
VITAL = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
PANEL, UPPER, LOWER = "85354-9", "8480-6", "8462-4"
NOW = datetime.now(UTC)
TEN = [each.name for each in tables()]


@pytest.fixture
def show(lake: duckdb.DuckDBPyConnection, stage: Callable[..., Presence]) -> Show:
    """The rows of a query over the views, after the tables named were built from the resources."""

    def rows(query: str, names: list[str], resources: list[Resource]) -> list[dict[str, Any]]:
        present = stage(resources)
        lake.execute("DROP TABLE links")  # what the build knows of links: the records have a table of that name
        with_views(lake)
        for name in names:
            lake.execute(f"INSERT INTO {name} {table(name).select_sql(present)}")
        found = lake.execute(query)
        columns = [column[0] for column in found.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    return rows


def coded(code: str, system: str = LOINC) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def mmhg(value: Any, unit: str | None = "mm[Hg]") -> Resource:
    return {"valueQuantity": {"value": value} | ({"unit": unit, "code": unit} if unit else {})}


def vital(name: str, when: str | None, code: Resource, **more: Any) -> Resource:
    dated = {"effectiveDateTime": when} if when else {}
    said = {"resourceType": "Observation", "id": name, "status": "final", "category": [{"coding": [VITAL]}]}
    return {**said, "code": code, **dated, **more}


def day(number: int, time: str = "T09:00:00Z") -> str:
    return f"2024-03-{number:02d}{time}"


def test_blood_pressures_stand_side_by_side_however_they_were_sent(show: Show) -> None:
    sides = [{"code": coded(UPPER), **mmhg(120)}, {"code": coded(LOWER), **mmhg(80)}]
    resources = [
        vital("panel", day(1), coded(PANEL), component=sides),
        vital("two-a", day(2), coded(UPPER), **mmhg(121)),
        vital("two-b", day(2), coded(LOWER), **mmhg(81)),
        vital("words", day(3), coded(PANEL), valueString="122/82 mmHg"),
        vital("bare-words", day(4), coded(PANEL), valueString=" 123 / 83 "),
        vital("kpa", day(5), coded(PANEL), component=[
            {"code": coded(UPPER), **mmhg(16, "kPa")}, {"code": coded(LOWER), **mmhg(10, "kPa")}
        ]),
        vital("snomed-a", day(6), coded("271649006", SNOMED), **mmhg(124)),
        vital("snomed-b", day(6), coded("271650006", SNOMED), **mmhg(84)),
        vital("no-unit", day(7), coded(PANEL), component=[
            {"code": coded(UPPER), **mmhg(125, None)}, {"code": coded(LOWER), **mmhg(85, None)}
        ]),
        # The server shows the sides of its panel once more, each alone: as many do.
        vital("both", day(8), coded(PANEL), component=sides),
        vital("both-a", day(8), coded(UPPER), **mmhg(120)),
        vital("both-b", day(8), coded(LOWER), **mmhg(80)),
        # Two measurements of one moment: nobody can say which belong together.
        *(
            vital(f"doubt-{number}", day(9), coded(code), encounter={"reference": f"Encounter/{value}"}, **mmhg(value))
            for number, (code, value) in enumerate([(UPPER, 140), (LOWER, 90), (UPPER, 150), (LOWER, 95)])
        ),
        # The same, but a panel says it.
        vital("members", day(10), coded(PANEL), hasMember=[{"reference": f"Observation/m{n}"} for n in range(2)]),
        vital("m0", day(10), coded(UPPER), **mmhg(126)),
        vital("m1", day(10), coded(LOWER), **mmhg(86)),
        vital("other", day(10), coded(UPPER), **mmhg(199)),
        # Two arms in one panel, in the order sent.
        vital("arms", day(11), coded(PANEL), component=[
            {"code": coded(code), **mmhg(value)}
            for code, value in [(UPPER, 130), (LOWER, 70), (UPPER, 134), (LOWER, 74)]
        ]),
        vital("half", day(12), coded(PANEL), component=[
            {"code": coded(UPPER), **mmhg(127)}, {"code": coded(LOWER), "dataAbsentReason": {"text": "cuff slipped"}}
        ]),
        vital("sit-a", day(13), coded("8459-0"), **mmhg(128)),
        vital("sit-b", day(13), coded("8453-3"), **mmhg(88)),
        vital("stand-a", day(13), coded("8460-8"), **mmhg(118)),
        vital("stand-b", day(13), coded("8454-1"), **mmhg(78)),
        vital("mean", day(14), coded("96607-7"), component=[
            {"code": coded("96608-5"), **mmhg(129)}, {"code": coded("96609-3"), **mmhg(89)}
        ]),
        vital("local-a", day(15), {"text": "Systolic BP"}, **mmhg(131, "mmHg")),
        vital("local-b", day(15), {"text": "Diastolic Blood Pressure"}, **mmhg(91, "mmHg")),
        vital("undated-a", None, coded(UPPER), **mmhg(132)),
        vital("undated-b", None, coded(LOWER), **mmhg(92)),
        # What counts for nothing.
        vital("wrong", day(20), coded(PANEL), component=sides, status="entered-in-error"),
        vital("bound", day(20), coded(UPPER), valueQuantity={"value": 60, "comparator": "<", "unit": "mm[Hg]"}),
        vital("date", day(20), coded(PANEL), valueString="12/80"),
        vital("upside-down", day(20), coded(PANEL), valueString="80/120"),
        vital("thought", day(20), coded(UPPER), **mmhg(3, None)),
        vital("weight", day(20), coded("29463-7"), **mmhg(120, "kg")),
    ]  # fmt: skip
    query = "SELECT day(effective_start) AS day, * FROM blood_pressure ORDER BY day, systolic, diastolic"
    rows = show(query, ["vitals"], resources)
    assert [(row["day"], row["systolic"], row["diastolic"], row["sent_as"]) for row in rows] == [
        (1, 120, 80, "panel"),
        (2, 121, 81, "separate"),
        (3, 122, 82, "words"),
        (4, 123, 83, "words"),
        (5, pytest.approx(120.01, abs=0.01), pytest.approx(75.0, abs=0.01), "panel"),
        (6, 124, 84, "separate"),
        (7, 125, 85, "panel"),
        (8, 120, 80, "panel"),
        (9, 140, None, "separate"),
        (9, 150, None, "separate"),
        (9, None, 90, "separate"),
        (9, None, 95, "separate"),
        (10, 126, 86, "panel"),
        (10, 199, None, "separate"),
        (11, 130, 70, "panel"),
        (11, 134, 74, "panel"),
        (12, 127, None, "panel"),
        (13, 118, 78, "separate"),
        (13, 128, 88, "separate"),
        (14, 129, 89, "panel"),
        (15, 131, 91, "separate"),
        (None, 132, None, "separate"),
        (None, None, 92, "separate"),
    ]
    assert {row["day"] for row in rows if row["is_unit_assumed"]} == {4, 7}
    assert [row["encounter_key"] for row in rows if row["day"] == 9] == [
        f"link/Encounter/{value}" for value in (140, 150, 90, 95)
    ]
    assert {row["kind"]: row["systolic"] for row in rows if row["kind"]} == {
        "standing": 118,
        "sitting": 128,
        "mean": 129,
    }
    (two,) = (row for row in rows if row["day"] == 2)
    assert (two["systolic_key"], two["diastolic_key"]) == ("link/Observation/two-a/0", "link/Observation/two-b/0")


def drug(name: str, kind: str = "MedicationRequest", **more: Any) -> Resource:
    order = {"intent": "order", "authoredOn": "2020-01-01"} if kind == "MedicationRequest" else {}
    said = {"resourceType": kind, "id": name, "status": "active", "medicationCodeableConcept": {"text": name}}
    return said | order | more


def ago(**past: int) -> str:
    return (NOW - timedelta(**past)).strftime("%Y-%m-%d")


def dosed(**bounds: Any) -> list[Resource]:
    return [{"text": "one a day", "timing": {"repeat": bounds}}]


def test_current_medications_are_those_that_are_to_be_taken_now(show: Show) -> None:
    statement, days = "MedicationStatement", {"system": "http://unitsofmeasure.org", "code": "d"}
    current = [
        drug("ordered"),
        drug("shouted", status="ACTIVE"),
        drug("planned by the person", intent="plan", reportedBoolean=True),
        drug("stated", statement),
        drug("stated until next year", statement, effectivePeriod={"start": "2020", "end": str(NOW.year + 1)}),
        drug("until the end of this day", statement, effectivePeriod={"start": "2020", "end": ago()}),
        drug("until the end of this year", statement, effectivePeriod={"start": "2020", "end": str(NOW.year)}),
        drug("course goes on", dosageInstruction=dosed(boundsPeriod={"start": ago(days=2), "end": ago(days=-9)})),
        drug("one step goes on", dosageInstruction=[
            *dosed(boundsPeriod={"end": ago(days=90)}), {"text": "then one a week"}
        ]),
        drug("length of days", authoredOn=ago(days=3), dosageInstruction=dosed(boundsDuration={"value": 10} | days)),
        drug("dose without bounds", dosageInstruction=[{"text": "as needed"}]),
    ]  # fmt: skip
    others = [
        *(
            drug(status, status=status)
            for status in ("completed", "stopped", "cancelled", "on-hold", "draft", "unknown")
        ),
        drug("error", status="entered-in-error"),
        drug("must not be given", doNotPerform=True),
        drug("not taken", statement, status="not-taken"),
        drug("intended", statement, status="intended"),
        drug("none known", statement, medicationCodeableConcept={"text": "No known medications"}),
        drug("proposed", intent="proposal"),
        drug("an option", intent="option"),
        drug("ended", statement, effectivePeriod={"start": "2020", "end": ago(days=2)}),
        drug("ended last year", statement, effectivePeriod={"start": "2010", "end": str(NOW.year - 1)}),
        drug("tomorrow", statement, effectivePeriod={"start": ago(days=-2)}),
        drug("course is over", dosageInstruction=dosed(boundsPeriod={"start": "2020", "end": ago(days=30)})),
        drug("days are over", dosageInstruction=dosed(boundsDuration={"value": 10} | days)),
        drug("handed over", "MedicationDispense", status="completed"),
        drug("dripping", "MedicationAdministration", status="in-progress", effectiveDateTime=ago()),
    ]
    rows = show("FROM current_medications", ["medications", "medication_dosages"], [*current, *others])
    assert {row["drug"] for row in rows} == {each["medicationCodeableConcept"]["text"] for each in current}
    assert {row["drug"] for row in rows if row["is_reported"]} == {"planned by the person"}
    assert len(rows) == len(current)
    ends = {row["drug"]: row["effective_end"] for row in rows if row["effective_end"]}
    assert ends["length of days"].astimezone(UTC).strftime("%Y-%m-%d") == ago(days=-7)


def test_a_timeline_is_one_line_an_entry_of_any_table(show: Show) -> None:
    person = {"subject": {"reference": "Patient/p"}}
    resources = [
        vital("bp", day(1), coded(PANEL), component=[
            {"code": coded(UPPER), **mmhg(120)}, {"code": coded(LOWER), **mmhg(80)}
        ]),
        vital("lab", day(2), {"text": "HbA1c", **coded("4548-4")}, interpretation=[{"text": "High"}],
              category=[{"coding": [VITAL | {"code": "laboratory"}]}],
              valueQuantity={"value": 6.4, "comparator": "<", "unit": "%"}),
        vital("smoking", day(3), coded("72166-2"), valueCodeableConcept={"text": "Former smoker"}),
        vital("pregnant", day(4), coded("82810-3"), valueCodeableConcept={"text": "Not pregnant"}),
        {"resourceType": "AllergyIntolerance", "id": "a", "code": {"text": "Peanut"}, "onsetDateTime": day(5),
         "criticality": "high", "reaction": [{"manifestation": [{"text": "Hives"}]}], **person},
        {"resourceType": "Condition", "id": "c", "code": {"text": "Asthma"}, "onsetDateTime": day(6),
         "severity": {"text": "mild"}, **person},
        drug("Aspirin", authoredOn=day(7), dosageInstruction=[{"text": "one\n a day"}]),
        {"resourceType": "Procedure", "id": "p", "status": "not-done", "code": {"text": "Colonoscopy"},
         "performedDateTime": day(8), "statusReason": {"text": "did not come"}, **person},
        {"resourceType": "Immunization", "id": "i", "status": "completed", "vaccineCode": {"text": "Flu"},
         "occurrenceDateTime": day(9), "protocolApplied": [{"doseNumberPositiveInt": 2}], **person},
        {"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"display": "ambulatory"},
         "type": [{"text": "Check-up"}], "period": {"start": day(10)}, **person},
    ]  # fmt: skip
    query = "SELECT day(effective_start) AS day, * FROM timeline WHERE person_key = 'person' ORDER BY effective_start"
    rows = show(query, TEN, resources)
    assert [(row["day"], row["category"], row["what"], row["details"]) for row in rows] == [
        (1, "vitals", PANEL, "120/80 mm[Hg]"),
        (2, "lab_results", "HbA1c", "<6.4 % (High)"),
        (3, "social_history", "72166-2", "Former smoker"),
        (4, "pregnancy", "82810-3", "Not pregnant"),
        (5, "allergies", "Peanut", "Hives; high criticality"),
        (6, "conditions", "Asthma", "mild"),
        (7, "medications", "Aspirin", "request; one a day"),
        (8, "procedures", "Colonoscopy", "did not come"),
        (9, "vaccines", "Flu", "dose 2"),
        (10, "visits", "Check-up", "ambulatory"),
    ]
    assert [row["what"] for row in rows if row["is_negated"]] == ["Colonoscopy"]
