"""Night after night: only what has changed, what is deleted, who is new, and types that failed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from charthouse.linking.links import list_links
from charthouse.state import session
from charthouse.state.base import now
from charthouse.state.bulk import GoneResource
from charthouse.state.engine import engine
from charthouse.state.models import Link
from charthouse.sync import bulk_marks, gone
from tests.bulk.conftest import ROOT, House, register, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAB = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}


def records(name: str, results: int, base: str = "") -> list[dict[str, Any]]:
    """One person with some results, each by the same doctor."""
    return [
        {"resourceType": "Patient", "id": name},
        *(
            {
                "resourceType": "Observation",
                "id": f"{name}-{number}",
                "status": "final",
                "category": [{"coding": [LAB]}],
                "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
                "subject": {"reference": f"{base}Patient/{name}"},
                "performer": [{"reference": "Practitioner/doctor"}],
                "effectiveDateTime": f"2024-01-{number + 1:02d}",
            }
            for number in range(results)
        ),
        {"resourceType": "Condition", "id": f"{name}-c", "subject": {"reference": f"{base}Patient/{name}"}},
    ]


class Clinic:
    """A provider whose records change."""

    def __init__(self, folder: Path) -> None:
        self.source, self.store = folder / "source", folder / "clinic.sqlite"
        self.source.mkdir()

    def hold(self, base: str = "", **people: int) -> None:
        """Hold so many results of each person, and nobody else; what they say of their subject begins with `base`."""
        everything = [one for name, results in people.items() for one in records(name, results, base)]
        lines = [json.dumps(one) for one in [*everything, {"resourceType": "Practitioner", "id": "doctor"}]]
        (self.source / "all.ndjson").write_text("\n".join(lines))
        command = [sys.executable, "-m", "sandbox", "load", "--source", str(self.source), "--store", str(self.store)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def founded(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Clinic, House]]:
    """A provider that exports, and a home in which Ann and Bob are linked to it."""
    clinic = Clinic(tmp_path_factory.mktemp("clinic"))
    clinic.hold(ann=3, bob=2, eve=1)
    with serving(clinic.store) as sandbox, pytest.MonkeyPatch.context() as patch:
        made = House(tmp_path_factory.mktemp("founded") / "home", sandbox).enter(patch)
        shutil.copytree(prepared_home, made.home)
        register(sandbox)
        made.link(["ann", "bob"])
        made.export()
        engine().dispose()
        yield clinic, made


@pytest.fixture
def clinic(founded: tuple[Clinic, House]) -> Clinic:
    """Ann has three results, Bob two, and Eve, who is not linked, has one."""
    founded[0].hold(ann=3, bob=2, eve=1)
    return founded[0]


@pytest.fixture
def house(founded: tuple[Clinic, House], clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A home of its own with those links."""
    shutil.copytree(founded[1].home, tmp_path / "home")
    made = House(tmp_path / "home", founded[1].sandbox).enter(monkeypatch)
    made.sandbox.habits()
    made.sandbox.faults()
    return made


def ids(house: House, kind: str) -> set[str]:
    return {name for _, found, name, _ in house.vault() if found == kind}


def since(house: House) -> list[str | None]:
    """The `_since` of each kick-off so far, oldest first, and None for an export of everything."""
    return [asked.get("_since") for asked in kicked_off(house)]


def kicked_off(house: House) -> list[dict[str, Any]]:
    """What each kick-off so far asked for, oldest first."""
    logs = sorted(house.home.glob("logs/bulk/clinic/*/log.ndjson"), key=lambda file: file.stat().st_mtime_ns)
    events = [json.loads(line) for file in logs for line in file.read_text().splitlines()]
    kicked = sorted((event for event in events if event["eventId"] == "kickoff"), key=lambda event: event["timestamp"])
    return [event["eventDetail"]["requestParameters"] for event in kicked]


def test_a_second_night_brings_what_changed_and_knows_what_is_deleted(house: House, clinic: Clinic) -> None:
    house.fetch()
    [first] = house.marks()[bulk_marks.ALL]
    clinic.hold(ann=2, bob=3, eve=0)
    house.fetch()
    assert since(house) == [None, first]
    assert ids(house, "Observation") == {"ann-0", "ann-1", "ann-2", "bob-0", "bob-1", "bob-2"}
    brought = {row.resource_type: row.new_versions for row in house.report().types if row.new_versions}
    assert brought == {"Observation": 1}
    with session(read_only=True) as state:
        links = {link.link_id for link in list_links(state)}
        assert sorted(pair for link in links for pair in gone.listed(state, link)) == [("Observation", "ann-2")]
    assert house.codes() == set()

    clinic.hold(ann=3, bob=3, eve=0)
    house.fetch()
    with session(read_only=True) as state:
        assert [gone.listed(state, link) for link in links] == [[], []], "it is served again"


def test_an_export_of_everything_tells_what_is_served_no_longer(
    house: House, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTHOUSE_WHOLE_DAYS", "1")
    house.enter(monkeypatch).fetch()

    def whole() -> set[tuple[str, str]]:
        with session() as state:
            state.execute(update(Link).values(read_whole_at=now() - timedelta(days=2)))
        house.fetch()
        assert since(house)[-1] is None
        with session(read_only=True) as state:
            return {(row.resource_id, row.reason) for row in state.scalars(select(GoneResource))}

    clinic.hold(ann=2, bob=1, eve=1)
    found = {("ann-2", "not_served"), ("bob-1", "not_served")}
    assert whole() == found
    house.sandbox.faults({"match": {"path": "bulkfiles", "type": "Observation"}, "act": {"status": 404}})
    clinic.hold(ann=1, eve=1)
    assert whole() == found, "of a type that failed, and of a person whom the export leaves out, nobody knows"

    house.sandbox.faults()
    house.fetch()
    apart = [asked for asked in kicked_off(house) if "_type" in asked]
    assert [(asked["_type"], asked.get("_since")) for asked in apart] == [("Observation,Patient", None)], (
        "the type alone is asked for whole again the night after, and not a week later"
    )
    with session(read_only=True) as state:
        assert {row.resource_id for row in state.scalars(select(GoneResource))} == {"ann-2", "bob-1", "ann-1"}
    house.fetch()
    assert len([asked for asked in kicked_off(house) if "_type" in asked]) == 1, "then it goes with the others"


def test_who_is_new_gets_everything_and_the_others_what_changed(house: House, clinic: Clinic) -> None:
    house.fetch()
    [first] = house.marks()[bulk_marks.ALL]
    house.link(["eve"])
    house.fetch()
    assert sorted(since(house), key=str) == sorted([None, first, None], key=str)
    assert "eve-0" in ids(house, "Observation")
    house.fetch()
    assert len(since(house)) == 4, "from then on, all are exported together"


def test_a_type_that_failed_is_asked_for_again_from_where_it_stood(house: House, clinic: Clinic) -> None:
    house.fetch()
    [first] = house.marks()[bulk_marks.ALL]
    clinic.hold(ann=4, bob=2, eve=1)
    house.sandbox.faults({"match": {"path": "bulkfiles", "type": "Observation"}, "act": {"status": 404}})
    house.fetch()
    assert house.codes() == {("CH154", "Observation")}
    assert house.report().links.partial == 2
    [second] = house.marks()[bulk_marks.ALL]
    assert house.marks()[bulk_marks.label_of("Observation")] == {first}
    assert second > first
    assert "ann-3" not in ids(house, "Observation")

    house.sandbox.faults()
    house.fetch()
    assert since(house) == [None, first, second, first], "the type alone, from where it stood"
    assert "ann-3" in ids(house, "Observation")
    assert house.codes() == set()
    house.fetch()
    assert len(since(house)) == 5


@pytest.mark.parametrize(
    ("outcomes", "codes", "marks"),
    [
        (["error Condition"], {("CH159", "Condition")}, {bulk_marks.ALL, bulk_marks.label_of("Condition")}),
        (["error"], {("CH159", None)}, set()),
        (["information", "warning"], {("CH115", None)}, {bulk_marks.ALL}),
    ],
)
def test_what_the_provider_says_of_its_export_is_recorded(
    house: House, outcomes: list[str], codes: set[tuple[str, str | None]], marks: set[str]
) -> None:
    house.sandbox.habits(outcomes=outcomes)
    house.fetch()
    assert house.codes() == codes
    assert house.marks().keys() == marks
    assert ids(house, "Condition") == {"ann-c", "bob-c"}, "what came is kept"


def test_an_error_is_told_even_where_its_file_counts_what_was_left_out(house: House) -> None:
    house.sandbox.habits(outcomes=["error Condition"], outcome_count=400)
    house.fetch()
    assert house.codes() == {("CH159", "Condition"), ("CH159", None)}
    assert house.marks() == {}, "which other types are behind, nobody knows"


def test_a_person_who_is_not_in_the_group_is_told_so(house: House) -> None:
    house.sandbox.group("some", ["ann"])
    house.export(level="Group/some")
    house.fetch()
    report = house.report()
    assert (report.links.complete, report.links.failed) == (1, 1)
    assert house.codes() == {("CH158", None)}


def test_whoever_was_in_files_that_could_not_be_read_is_not_called_missing(house: House) -> None:
    house.sandbox.faults({"match": {"path": "bulkfiles"}, "act": {"status": 410}})
    house.fetch()
    assert {code for code, _ in house.codes()} == {"CH154"}
    assert house.report().links.failed == 2


def test_a_person_who_grants_less_than_the_export_holds(house: House) -> None:
    house.link(["eve"], scope="launch/patient patient/Patient.rs patient/Condition.rs")
    house.fetch()
    assert ids(house, "Observation") == {"ann-0", "ann-1", "ann-2", "bob-0", "bob-1"}
    assert "eve-c" in ids(house, "Condition")
    assert house.report().links.complete == 3


def test_a_server_behind_a_proxy_writes_absolute_references_by_its_own_name(house: House, clinic: Clinic) -> None:
    clinic.hold("http://inside.example:8080/fhir/", ann=2, bob=1, eve=1)
    house.export(level="")
    house.sandbox.habits(own_base="http://inside.example:8080/fhir")
    house.fetch()
    assert ids(house, "Observation") == {"ann-0", "ann-1", "bob-0"}


def test_an_export_that_is_not_ready_in_time_is_taken_up_by_the_next_night(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.sandbox.habits(working_polls=1)
    monkeypatch.setenv("CHARTHOUSE_BULK_WAIT_MAX", "0.001")
    house.enter(monkeypatch).fetch()
    assert house.codes() == {("CH157", None)}
    assert house.report().links.failed == 2
    monkeypatch.delenv("CHARTHOUSE_BULK_WAIT_MAX")
    house.enter(monkeypatch).fetch()
    assert since(house) == [None], "one job for both nights"
    assert house.codes() == set()
    assert ids(house, "Condition") == {"ann-c", "bob-c"}
    assert house.sandbox.exports() == []
