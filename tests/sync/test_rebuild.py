"""What is built from the vault beside the ten tables, what is mended for them, and building it all anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.errors import StateError
from charthouse.lake import records
from charthouse.lake.session import RECORDS, open_records, open_vault, writing
from charthouse.operating import report
from charthouse.state import session
from charthouse.state.models import Link
from charthouse.sync.rebuild import rebuild
from tests.sync.conftest import PATIENT, observation
from transforms.tables import published_tables

if TYPE_CHECKING:
    from tests.sync.conftest import House

SUBJECT = {"subject": {"reference": f"Patient/{PATIENT}"}}
SURVEY = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "survey"}]}


def asked(query: str) -> list[tuple[Any, ...]]:
    with open_records(read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_everything_that_a_person_has_is_in_a_table_or_counted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = observation(4)
    odd["category"] = odd["category"][0]  # one value where a list belongs
    odd["valueQuantity"] = {"value": "94", "unit": "mg per spoon"}
    house.provider.resources += [
        odd,
        {"resourceType": "DiagnosticReport", "id": "d", "status": "final", "code": {"text": "panel"}, **SUBJECT},
        {**observation(5), "category": [SURVEY], "code": {"text": "how are you"}},
        {**observation(6), "code": {"text": "urine, by eye"}, "valueQuantity": {"value": 1}},
    ]
    rows = house.night()["rows"]
    assert len(rows) == 5
    said = "SELECT resource_type, rule, shown_in, about, resources, last_seen IS NOT NULL"
    assert asked(f"{said} FROM records.additional ORDER BY ALL") == [
        ("DiagnosticReport", "type/DiagnosticReport", "reports", "panel", 1, True),
        ("Observation", "category/survey", "surveys", "how are you", 1, True),
    ]
    assert asked("SELECT text FROM records.reports UNION ALL SELECT text FROM records.surveys ORDER BY ALL") == [
        ("how are you",),
        ("panel",),
    ]
    units = "SELECT table_name, unit, code, reason, row_count FROM records.unmapped_units"
    assert asked(units) == [("lab_results", "mg per spoon", "2345-7", "unknown-unit", 1)]
    assert asked("SELECT table_name, code, reason, row_count FROM records.unmapped_codes") == [
        ("lab_results", None, "code-missing", 1)
    ]
    mended = "SELECT value, remarks FROM records.lab_results WHERE resource_key LIKE '%/o4'"
    assert asked(mended) == [(94.0, ["mended-shape", "unknown-unit"])]
    with open_vault(read_only=True) as connection:
        found = connection.execute("SELECT resource FROM vault.resources WHERE resource_id = 'o4'").fetchone()
    assert found is not None
    assert json.loads(found[0]) == odd, "the vault keeps what was received"
    counted = {table.table: table.rows for table in report.latest().tables}
    assert (counted["additional"], counted["unmapped_units"], counted["unmapped_codes"]) == (2, 1, 1)

    before = house.held()
    requests = len(house.provider.asked)
    (person,) = asked("SELECT person_key FROM records.built_people")
    done = house.charthouse("rebuild", person[0])
    assert "1 person was built anew" in done.stdout, done.stderr
    assert len(house.provider.asked) == requests, "nothing is fetched"
    assert house.held() == before
    with pytest.raises(StateError, match="CH602"):
        rebuild(["nobody"])

    monkeypatch.setattr("charthouse.lake.records.declaration", lambda: "another")
    del house.provider.resources[1:]
    assert house.night() == before, "a provider's silence deletes nothing"
    assert asked("SELECT declaration FROM records.built_people") == [("another",)]
    assert {stage.stage for stage in report.latest().stages} >= {"build", "audit", "publish"}

    with session(read_only=True) as state:
        (link,) = state.query(Link.id).one()
    with writing(RECORDS), open_records() as connection:
        assert records.remove_links(connection, [person[0]], [link]) > 9
    for each in published_tables():
        assert asked(f"FROM records.{each.name}") == [], each.name
