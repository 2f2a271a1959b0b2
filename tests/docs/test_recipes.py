"""Every recipe of the page for analysts, held against a count in plain Python over the resources as they were sent."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from charthouse.lake.analyst import analyst, statements
from charthouse.operating.cli import app
from tests.docs.conftest import NOW
from tests.tables.raw import CHILDREN, rows_of, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.docs.conftest import Analysts, Json

PAGE = Path(__file__).resolve().parents[2] / "docs" / "analysts.md"
RECIPES = dict(
    re.findall(r"^### ([^\n]+)\n(?:(?!^###).)*?```sql\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
)
A1C = {"4548-4", "17856-6", "59261-8"}
FAMILY = {
    "total": ({"2093-3", "14647-2"}, 38.665),
    "ldl": ({"18262-6", "13457-7", "2089-1"}, 38.665),
    "hdl": ({"2085-9"}, 38.665),
    "triglycerides": ({"2571-8", "14927-8"}, 88.57),
}
STATIN = re.compile("(ator|flu|lo|lova|pitava|prava|rosuva|simva)(va)?statin")


def of_type(analysts: Analysts, kind: str) -> Iterator[tuple[str, str, Json]]:
    return ((who, where, each) for who, where, each in analysts.sent if each["resourceType"] == kind)


def codes(concept: Json | None, system: str = "") -> list[str]:
    return [each["code"] for each in (concept or {}).get("coding", []) if system in each.get("system", "")]


def instant(text: str) -> datetime:
    filled = text + {4: "-01-01", 7: "-01"}.get(len(text), "")
    read = datetime.fromisoformat(filled)
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def results(analysts: Analysts) -> Iterator[tuple[str, str, float, str, datetime, date]]:
    """Laboratory results that count: person, code, value, unit, when, and the sender's day."""
    for who, _, each in of_type(analysts, "Observation"):
        if table_of(each) == "lab_results" and each["status"] != "entered-in-error" and "valueQuantity" in each:
            (code, *_), value = codes(each["code"], "loinc"), each["valueQuantity"]
            when = each["effectiveDateTime"]
            yield who, code, value["value"], value["unit"], instant(when), date.fromisoformat(when[:10])


def test_the_latest_a1c_of_each_person(analysts: Analysts) -> None:
    latest: dict[str, tuple[datetime, float]] = {}
    for who, code, value, unit, when, _ in results(analysts):
        if code in A1C:
            percent = value if unit == "%" else 0.09148 * value + 2.152
            latest[who] = max(latest.get(who, (when, percent)), (when, percent))
    rows = analysts.ask(RECIPES["The latest HbA1c of each person"])
    assert {row["person_key"]: row["a1c"] for row in rows} == {
        who: pytest.approx(value) for who, (_, value) in latest.items()
    }
    assert latest[analysts.two][1] == pytest.approx(7.0, abs=0.01)


def test_flu_shots_of_this_season(analysts: Analysts) -> None:
    began = datetime(NOW.year - (NOW.month < 7), 7, 1, tzinfo=UTC)
    shots: dict[str, set[date]] = defaultdict(set)
    for who, _, each in of_type(analysts, "Immunization"):
        flu = set(codes(each["vaccineCode"], "cvx")) & {"88", "140", "150"}
        if flu and each["status"] == "completed" and instant(each["occurrenceDateTime"]) >= began:
            shots[who].add(date.fromisoformat(each["occurrenceDateTime"][:10]))
    rows = analysts.ask(RECIPES["Who had a flu shot this season"])
    assert {row["person_key"]: (row["vaccinated"], row["shots"]) for row in rows} == {
        who: (min(days), len(days)) for who, days in shots.items()
    }
    assert len(shots[analysts.two]) == 1


def pressures(analysts: Analysts) -> list[tuple[str, datetime, float, float]]:
    found, alone = [], defaultdict(dict)
    for who, where, each in of_type(analysts, "Observation"):
        when = instant(each["effectiveDateTime"])
        sides = {code: part for part in each.get("component", []) for code in codes(part["code"])}
        if {"8480-6", "8462-4"} <= sides.keys():
            values = [sides[code]["valueQuantity"]["value"] for code in ("8480-6", "8462-4")]
            found.append((who, when, values[0], values[1]))
        for code in codes(each["code"]):
            if code in {"8480-6", "8462-4"}:
                alone[who, where, when][code] = each["valueQuantity"]["value"]
    return found + [(who, when, both["8480-6"], both["8462-4"]) for (who, _, when), both in alone.items()]


def test_blood_pressures_side_by_side_and_by_year(analysts: Analysts) -> None:
    expected = pressures(analysts)
    rows = analysts.ask(RECIPES["Blood pressure, side by side"])
    found = [(row["person_key"], row["effective_start"], row["systolic"], row["diastolic"]) for row in rows]
    assert Counter(found) == Counter(expected)
    assert any(who == analysts.two for who, *_ in expected)

    years: dict[tuple[str, date], list[tuple[float, float]]] = defaultdict(list)
    for who, when, systolic, diastolic in expected:
        years[who, date(when.year, 1, 1)].append((systolic, diastolic))
    rows = analysts.ask(RECIPES["Blood pressure by year"])
    assert {(row["person_key"], row["year"]): row["measured"] for row in rows} == {
        key: len(sides) for key, sides in years.items()
    }
    for row in rows:
        sides = years[row["person_key"], row["year"]]
        assert row["systolic"] == pytest.approx(sum(upper for upper, _ in sides) / len(sides), abs=0.51)
        assert row["diastolic"] == pytest.approx(sum(lower for _, lower in sides) / len(sides), abs=0.51)


def test_active_medications_and_statins(analysts: Analysts) -> None:
    active: Counter[tuple[str, str]] = Counter()
    statins = set()
    for who, _, each in of_type(analysts, "MedicationRequest"):
        if each["status"] == "active" and each["intent"] in {"order", "plan"} and not each.get("doNotPerform"):
            drug = each["medicationCodeableConcept"]
            name = drug["text"].lower() if "text" in drug else drug["coding"][0]["display"]
            active[who, next(iter(codes(drug, "rxnorm")), name)] += 1
            statins |= {who} if STATIN.search(name.lower()) else set()
    rows = analysts.ask(RECIPES["Active medications"])
    assert {(row["person_key"], row["named"]): row["records"] for row in rows} == dict(active)
    assert active[analysts.two, "lipitor (atorvastatin) 20 mg"] == 2
    assert {row["person_key"] for row in analysts.ask(RECIPES["Who takes a statin"])} == statins
    assert analysts.two in statins


def test_new_diagnoses_by_month(analysts: Analysts) -> None:
    first: dict[tuple[str, str], datetime] = {}
    for who, _, each in of_type(analysts, "Condition"):
        onset = each.get("onsetDateTime") or each.get("recordedDate")
        if onset and len(onset) > 4 and "refuted" not in codes(each.get("verificationStatus")):
            key = who, next(iter(codes(each["code"])), each["code"].get("text", "").lower())
            first[key] = min(first.get(key, instant(onset)), instant(onset))
    months = Counter(date(when.year, when.month, 1) for when in first.values())
    rows = analysts.ask(RECIPES["New diagnoses by month"])
    assert {row["month"]: row["diagnoses"] for row in rows} == dict(months)
    assert first[analysts.two, "asthma"] == datetime(2021, 5, 6, tzinfo=UTC)


def test_cholesterol_in_one_unit(analysts: Analysts) -> None:
    found: dict[tuple[str, date], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for who, code, value, unit, _, day in results(analysts):
        for name, (known, factor) in FAMILY.items():
            if code in known:
                found[who, day][name].append(value * factor if unit == "mmol/L" else value)
    rows = analysts.ask(RECIPES["Cholesterol in mg/dL"])
    assert {(row["person_key"], row["day"]) for row in rows} == found.keys()
    for row in rows:
        for name in FAMILY:
            values = found[row["person_key"], row["day"]][name]
            mean = pytest.approx(sum(values) / len(values), abs=0.6) if values else None
            assert row[name] == mean


def test_the_whole_record_of_each_person(analysts: Analysts) -> None:
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for who, _, each in analysts.sent:
        sides = sum(bool({"8480-6", "8462-4"} & set(codes(part["code"]))) for part in each.get("component", []))
        expected[who] += Counter(table for table, _ in rows_of(each) if table not in CHILDREN)
        if sides and table_of(each) == "vitals":
            expected[who]["vitals"] -= sides
    recipe = RECIPES["The whole record of one person"]
    for who, categories in expected.items():
        rows = analysts.ask(recipe.replace("(SELECT min(person_key) FROM built_people)", f"'{who}'"))
        assert Counter(row["category"] for row in rows) == +categories
        days = [row["day"] or date.max for row in rows]
        assert days == sorted(days)

    done = CliRunner().invoke(app, ["sql", "--format", "csv", f"FROM timeline WHERE person_key = '{analysts.two}'"])
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    said = {(line["what"], line["details"], line["provider"]) for line in lines}
    assert ("Lipitor (atorvastatin) 20 mg", "request; one at night", "north") in said
    assert not any("\n" in value for line in lines for value in line.values())


def test_what_else_there_is_of_a_person(analysts: Analysts) -> None:
    recipe = RECIPES["What else there is of a person"]
    for who in {who for who, *_ in analysts.sent}:
        kinds = Counter(each["resourceType"] for whose, _, each in analysts.sent if whose == who)
        rows = analysts.ask(recipe.replace("(SELECT min(person_key) FROM built_people)", f"'{who}'"))
        found = Counter[str]()
        for row in rows:
            found[row["resource_type"]] += row["resources"]
        for kind in ("Goal", "CarePlan", "CareTeam", "Claim", "DocumentReference", "DiagnosticReport"):
            assert found[kind] == kinds[kind]


def test_freshness_and_what_each_provider_gave(analysts: Analysts) -> None:
    rows_by: dict[str, Counter[str]] = defaultdict(Counter)
    for _, where, each in analysts.sent:
        rows_by[where] += Counter(table for table, _ in rows_of(each) if table not in CHILDREN)
    rows = analysts.ask(RECIPES["Freshness by provider"])
    assert {row["provider"]: row["people"] for row in rows} == dict.fromkeys(rows_by, 1)
    assert {row["provider"] for row in rows if row["days_since_sync"] is None} == set(rows_by)  # stocked, never asked

    recipe = RECIPES["What each provider gave of a person"]
    for who in {who for who, *_ in analysts.sent}:
        rows = analysts.ask(recipe.replace("(SELECT min(person_key) FROM built_people)", f"'{who}'"))
        own = {where for whose, where, _ in analysts.sent if whose == who}
        assert {row["provider"] for row in rows} == own
        found = {(row["provider"], row["table_name"]): row["row_count"] for row in rows if row["row_count"]}
        ten = {(where, table): count for where in own for table, count in rows_by[where].items()}
        assert ten.items() <= found.items()
        assert {table for _, table in found.keys() - ten.keys()} <= {"reports", "documents", "surveys"}


def test_where_providers_disagree(analysts: Analysts) -> None:
    (row,) = analysts.ask(RECIPES["Whose providers disagree about them"])
    assert row["person_key"] == analysts.two
    assert set(row["disagrees_on"]) == {"birth_year", "sex"}
    assert (set(row["birth_years"]), set(row["sexes"])) == ({1960, 1961}, {"female", "male"})


def test_after_a_diagnosis_and_during_a_stay(analysts: Analysts) -> None:
    tested, done = 0, 0
    onset: dict[str, list[datetime]] = defaultdict(list)
    for who, _, each in of_type(analysts, "Condition"):
        if "44054006" in codes(each["code"]):
            onset[who].append(instant(each["onsetDateTime"]))
    for who, code, *_, when, _ in results(analysts):
        after = [(when - begin).total_seconds() for begin in onset[who]]
        tested += sum(code in A1C and 0 <= seconds <= 366 * 86_400 for seconds in after)
    stays = {
        f"urn:uuid:{each['id']}" for _, _, each in of_type(analysts, "Encounter") if each["class"]["code"] == "IMP"
    }
    for _, _, each in of_type(analysts, "Procedure"):
        done += each.get("encounter", {}).get("reference") in stays
    assert len(analysts.ask(RECIPES["HbA1c in the year after a diagnosis of type 2 diabetes"])) == tested
    assert len(analysts.ask(RECIPES["What was done during each hospital stay"])) == done


@pytest.mark.usefixtures("home")
def test_an_empty_lake_answers_every_recipe() -> None:
    assert len(RECIPES) >= 15
    with analyst() as connection:
        for name, query in RECIPES.items():
            (statement,) = statements(query)
            assert connection.sql(statement).fetchall() == [], name
