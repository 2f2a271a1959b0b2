"""Every function asked about 146 published people, held against plain counts over their raw Bundles."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from charthouse.coach.functions import function
from tests.tables.raw import Link
from tests.tables.test_independent import AT_ONCE, files, staged
from transforms.coach.facts import PersonRecords, Row
from transforms.coach.selecting import TABLES, rows_sql
from transforms.duplicates import find
from transforms.tables import all_tables, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Json = dict[str, Any]

pytestmark = pytest.mark.shared_data
NOW = datetime(2026, 11, 28, tzinfo=UTC)
LOINC = "http://loinc.org"
FLU = {"140", "141", "150", "158", "161", "15", "88", "135", "168", "171", "185", "186", "197", "205"}


class Person:
    """A person's records as the tables have them, and the resources as they were sent."""

    def __init__(self, records: PersonRecords, sent: list[Json]) -> None:
        self.records, self.sent = records, sent

    def ask(self, called_by: str, /, **given: Any) -> Any:
        called = function(called_by)
        return called.run(self.records, called.asked(**given), NOW)

    def of(self, *kinds: str) -> Iterator[Json]:
        return (each for each in self.sent if each["resourceType"] in kinds)


@pytest.fixture(scope="module")
def people() -> list[Person]:
    made: list[Person] = []
    coming = enumerate(files())
    while some := list(islice(coming, AT_ONCE)):
        bodies = {f"person-{nth}": gzip.decompress(file.read_bytes()) for nth, (_, file) in some}
        links = [(Link(key, f"link-of-{key}", "shore"), body) for key, body in bodies.items()]
        rows: dict[str, list[Row]] = defaultdict(list)
        with staged(links) as (connection, present):
            connection.execute("SET TimeZone = 'UTC'")
            for each in all_tables():
                connection.execute(f"CREATE TABLE {each.name} AS {each.select_sql(present)}")
            named = {each.name: each.name for each in tables()}
            find(connection, named)
            for table in TABLES:
                query = rows_sql(table, table, "medication_dosages", "found_duplicates", "$people::VARCHAR[]")
                for key, text in connection.execute(query, {"people": list(bodies)}).fetchall():
                    rows[key].append(msgspec.json.decode(text, type=Row))
        for key, body in bodies.items():
            sent = [each["resource"] for each in json.loads(body)["entry"]]
            made.append(Person(PersonRecords(seq=1, rows=tuple(rows[key])), sent))
    return made


def codes(concept: Json, system: str = LOINC) -> set[str]:
    return {each["code"] for each in concept.get("coding", ()) if each.get("system") == system}


def at(text: str) -> datetime:
    read = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def newest(
    person: Person, wanted: set[str], *, category: tuple[str, ...] = ("laboratory", "vital-signs")
) -> list[Json]:
    """The Observations of the newest moment that have one of these codes and a value."""
    found = [
        each
        for each in person.of("Observation")
        if codes(each["code"]) & wanted
        and each["status"] not in ("entered-in-error", "cancelled")
        and any(key.startswith("value") for key in each)
    ]
    last = max((at(each["effectiveDateTime"]) for each in found), default=None)
    return [each for each in found if at(each["effectiveDateTime"]) == last]


def keys_of(facts: list[Any]) -> set[str]:
    return {source.resource_key.rpartition("/")[2] for fact in facts for source in fact.sources}


RESULTS = {
    "What's my A1c?": {"4548-4"},
    "cholesterol": {"2093-3"},
    "bad cholesterol": {"18262-6", "2089-1", "13457-7"},
    "HDL": {"2085-9"},
    "triglycerides": {"2571-8"},
    "my blood sugar": {"2339-0", "2345-7"},
    "creatinine": {"38483-4", "2160-0"},
    "potassium": {"6298-4", "2823-3"},
    "hgb": {"718-7"},
    "what is my weight": {"29463-7"},
    "BMI": {"39156-5"},
    "pulse": {"8867-4"},
    "egfr": {"33914-3"},
    "33914-3": {"33914-3"},
    "urine glucose": {"5792-7", "25428-4"},
}


@pytest.mark.parametrize("asked", RESULTS)
def test_the_newest_result(people: list[Person], asked: str) -> None:
    answered = 0
    for person in people:
        told, wanted = person.ask("latest-result", name=asked), newest(person, RESULTS[asked])
        assert told.found == bool(wanted)
        if not wanted:
            continue
        answered += 1
        assert keys_of([told.fact]) <= {each["id"] for each in wanted}
        sent = next(each for each in wanted if each["id"] in keys_of([told.fact]))
        if "valueQuantity" in sent:
            assert told.fact.value.quantity.number == sent["valueQuantity"]["value"]
            assert told.fact.value.quantity.unit == sent["valueQuantity"].get("unit")
        assert at(told.fact.when.value) == at(sent["effectiveDateTime"])
    assert answered > 15


def test_blood_pressure_is_both_sides_of_one_measurement(people: list[Person]) -> None:
    for person in people:
        told = person.ask("latest-result", name="blood pressure")
        sent = [
            each
            for each in person.of("Observation")
            if codes(each["code"]) & {"85354-9", "55284-4"} and "component" in each
        ]
        assert told.found == bool(sent)
        if not sent:
            continue
        last = max(at(each["effectiveDateTime"]) for each in sent)
        shown = set()
        for each in sent:
            if at(each["effectiveDateTime"]) == last:
                sides = {code: part for part in each["component"] for code in codes(part["code"])}
                shown.add(tuple(sides[code]["valueQuantity"]["value"] for code in ("8480-6", "8462-4")))
        value = told.fact.value
        assert (value.systolic.number, value.diastolic.number) in shown


def test_trends_have_every_result_once(people: list[Person]) -> None:
    for person in people:
        told = person.ask("trend", name="weight", since="2015")
        sent = {
            (at(each["effectiveDateTime"]), each["valueQuantity"]["value"])
            for each in person.of("Observation")
            if "29463-7" in codes(each["code"]) and at(each["effectiveDateTime"]) >= datetime(2015, 1, 1, tzinfo=UTC)
        }
        assert {(at(point.when.value), point.number) for point in told.points} == sent
        assert told.points == sorted(told.points, key=lambda point: at(point.when.value))
        if len(sent) > 1:
            assert told.change.difference == pytest.approx(told.points[-1].number - told.points[0].number)
            assert told.chart is not None
            assert told.unit == "kg"


VACCINES: dict[str, Callable[[set[str]], bool]] = {
    "When's the last time I got a flu shot?": lambda cvx: bool(cvx & FLU),
    "tetanus": lambda cvx: bool(cvx & {"113", "115", "20", "09", "106", "107", "110", "120", "130", "146"}),
    "shingles vaccine": lambda cvx: bool(cvx & {"121", "187", "188"}),
    "COVID": lambda cvx: bool(cvx & {"207", "208", "212", "213", "229", "300", "301"}),
    "hpv": lambda cvx: bool(cvx & {"62", "165"}),
    "pneumonia shot": lambda cvx: bool(cvx & {"33", "133", "109", "152", "215", "216"}),
    "MMR": lambda cvx: bool(cvx & {"03", "94"}),
    "113": lambda cvx: "113" in cvx,
}


@pytest.mark.parametrize("asked", VACCINES)
def test_the_last_vaccination(people: list[Person], asked: str) -> None:
    answered = 0
    for person in people:
        told = person.ask("last-immunization", name=asked)
        sent = [
            each
            for each in person.of("Immunization")
            if each["status"] == "completed"
            and VACCINES[asked](codes(each["vaccineCode"], "http://hl7.org/fhir/sid/cvx"))
        ]
        assert told.found == bool(sent)
        if sent:
            answered += 1
            assert at(told.fact.when.value) == max(at(each["occurrenceDateTime"]) for each in sent)
            assert told.doses == len({each["occurrenceDateTime"][:10] for each in sent})
    assert answered > 2


def test_lists_have_whoever_belongs_there(people: list[Person]) -> None:
    for person in people:
        told = person.ask("conditions")
        wanted = {
            each["id"]
            for each in person.of("Condition")
            if "active" in {code["code"] for code in each["clinicalStatus"]["coding"]}
            and not any(key.startswith("abatement") for key in each)
        }
        assert keys_of(told.facts) == wanted
        allergies = {each["id"] for each in person.of("AllergyIntolerance")}
        assert keys_of(person.ask("allergies").facts) == allergies
        active = {each["id"] for each in person.of("MedicationRequest") if each["status"] == "active"}
        assert keys_of(person.ask("active-medications").facts) == active


def test_a_summary_counts_what_was_sent(people: list[Person]) -> None:
    kinds = {"vaccines": "Immunization", "procedures": "Procedure", "conditions": "Condition", "visits": "Encounter"}
    for person in people:
        told = person.ask("summary")
        assert told.found == bool(person.records.rows)
        for table, kind in kinds.items():
            sent = sum(1 for _ in person.of(kind))
            folded = sum(1 for row in person.records.rows if row.table == table and row.rank > 1)
            assert told.counts.get(table, 0) == sent - folded, table
        vaccines = next((section for section in told.sections if section.loinc == "11369-6"), None)
        if vaccines:
            dates = [fact.when.value for fact in vaccines.facts]
            assert dates == sorted(dates, reverse=True)
            assert vaccines.total == len(vaccines.facts) + vaccines.more


def test_visits_and_what_is_new_since_the_last(people: list[Person]) -> None:
    for person in people:
        told = person.ask("visits")
        if not any(person.of("Encounter")):
            assert not told.found
            continue
        last = max(at(each["period"]["start"]) for each in person.of("Encounter"))
        assert at(told.recent[0].when.value) == last
        since = person.ask("doctor-list")
        assert at(since.since.value) == last
        # The day of a visit, as UTC has it.
        new = [each for each in person.of("Immunization") if at(each["occurrenceDateTime"]).astimezone(UTC).date()
               >= last.astimezone(UTC).date()]  # fmt: skip
        assert keys_of(since.new_vaccines) == {each["id"] for each in new}


def test_search_finds_names_codes_and_meanings(people: list[Person]) -> None:
    for person in people:
        for asked, names in (("high blood pressure", "hypertension"), ("water pill", "hydrochlorothiazide")):
            told = person.ask("search", text=asked)
            sent = [
                each
                for each in person.of("Condition", "MedicationRequest")
                if names in json.dumps(each.get("code", each.get("medicationCodeableConcept", {}))).lower()
            ]
            assert told.found or not sent
        assert not person.ask("search", text="zzyzx").found
