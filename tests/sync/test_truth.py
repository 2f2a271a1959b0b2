"""What nights know of a provider whose records change: shown late, taken away, shown again, refused, not to be had."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from charthouse.lake.session import open_records, open_vault
from charthouse.linking import links
from charthouse.linking.disconnect import disconnect
from charthouse.operating.cli import app
from charthouse.privacy.export.holdings import open_holdings
from charthouse.privacy.export.scope import Scope
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.bulk import GoneResource
from charthouse.state.models import Link, Watermark
from charthouse.sync import whole_reads
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.runs import latest_run, run_report
from charthouse.sync.store import store_batch
from tests.partners.odd_server import Reply, as_json
from tests.sync.conftest import PATIENT, House, observation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from charthouse.state.report import RunReport
    from tests.partners.odd_server import Asked

REMARK = "no-longer-served"
DAY = 86_400


class Days:
    """The days of a home: time is moved, nobody sleeps."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._days = 0

    def pass_by(self, days: int) -> None:
        self._days += days
        self._file.write_text(str(self._days * DAY))


@pytest.fixture
def days(tmp_path: Path, house: House, monkeypatch: pytest.MonkeyPatch) -> Days:
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(tmp_path / "clock"))
    monkeypatch.setenv("CHARTHOUSE_RETRY_WAIT_MAX", "0.02")
    get_settings.cache_clear()
    return Days(tmp_path / "clock")


def goal(name: str) -> dict[str, Any]:
    return {"resourceType": "Goal", "id": name, "subject": {"reference": f"Patient/{PATIENT}"}}


def condition(name: str, category: str | None = None) -> dict[str, Any]:
    coded = {"category": [{"coding": [{"code": category}]}]} if category else {}
    return {"resourceType": "Condition", "id": name, "subject": {"reference": f"Patient/{PATIENT}"}} | coded


def hold(house: House, *resources: dict[str, Any]) -> None:
    """Let the provider hold these beside the Patient."""
    house.provider.resources[:] = [{"resourceType": "Patient", "id": PATIENT}, *resources]


def read(house: House) -> RunReport:
    """A night as far as the vault and the ledger."""
    for name in house.plan():
        store_batch(check_batch(collect_batch(name)))
    with session() as state:
        run = latest_run(state)
        run.status = "complete"
        return run_report(state, run.id)


def night(house: House) -> RunReport:
    """A whole night."""
    house.night()
    with session(read_only=True) as state:
        return run_report(state, latest_run(state).id)


def said(*arguments: str) -> str:
    """What `charthouse …` prints."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def gone() -> dict[str, str]:
    """What is served no longer, and why."""
    with session(read_only=True) as state:
        return {f"{row.resource_type}/{row.resource_id}": row.reason for row in state.scalars(select(GoneResource))}


def since() -> dict[str, str]:
    """The watermarks."""
    with session(read_only=True) as state:
        return {row.label: row.value for row in state.scalars(select(Watermark))}


def asked_since(house: House) -> list[str | None]:
    """The `_lastUpdated` of the searches for Observations since this was last asked, without probes."""
    found = [
        asked.one("_lastUpdated") for asked in house.provider.searches("Observation") if asked.one("start") is None
    ]
    house.provider.asked.clear()
    return [said for said in found if said is None or "219" not in said]


def remarks() -> dict[str, list[str]]:
    with open_records(read_only=True) as connection:
        rows = connection.execute(
            "SELECT split_part(resource_key, '/', 3), remarks FROM records.lab_results"
        ).fetchall()
    return {name: [each for each in said if each == REMARK] for name, said in rows}


def stopped_at(point: str) -> Callable[[str], None]:
    """A fault point at which the process is stopped."""

    def at(name: str) -> None:
        if name == point:
            raise KeyboardInterrupt

    return at


def test_a_provider_whose_records_change_from_night_to_night(
    house: House, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(house, observation(0), observation(2), observation(5))
    read(house)
    assert asked_since(house) == [None]
    assert since() == {"Observation": "2024-05-01T10:05:00Z"}

    # Shown late, with an older instant: what is new finds it within the overlap, and not before.
    older = observation(3) | {"meta": {"lastUpdated": "2024-04-01T00:00:00Z"}}
    hold(house, observation(0), observation(1), observation(5), older)
    house.night()
    assert asked_since(house) == ["ge2024-05-01T10:00:00Z"], "five minutes before what was read last"
    assert remarks() == {"o0": [], "o1": [], "o2": [], "o5": []}
    assert gone() == {}, "who asks for what is new alone learns of nothing that is gone"

    # Within a week comes the night on which the link is read whole.
    days.pass_by(7)
    report = night(house)
    assert asked_since(house) == [None]
    assert gone() == {"Observation/o2": "not_served"}
    assert (report.vanished, report.returned) == (1, 0)
    assert remarks() == {"o0": [], "o1": [], "o2": [REMARK], "o3": [], "o5": []}
    assert "Served no longer: 1 since this night" in said("status")
    with session(read_only=True) as state:
        link = state.scalars(select(Link)).one()
    assert "served    no longer, since 2" in said("explain", f"{link.id}/Observation/o2")
    with open_holdings(link.person_key, Scope(), [], until=None) as held:
        assert {row[2] for row in held.sources() if REMARK in row[8]} == {"o2"}
    read(house)
    assert asked_since(house) == ["ge2024-05-01T10:00:00Z"], "once a week, and not each night from then on"

    # Served again with a new instant: nobody has to wait for the next week.
    again = observation(2) | {"meta": {"lastUpdated": "2024-05-01T10:06:00Z"}}
    hold(house, observation(0), observation(1), observation(5), older, again)
    (name,) = house.plan()
    checked = check_batch(collect_batch(name))
    with monkeypatch.context() as patch:
        patch.setattr("charthouse.faults.point", stopped_at("store.accounted"))
        with pytest.raises(KeyboardInterrupt):
            store_batch(checked)
    report = night(house)
    assert gone() == {}
    assert (report.vanished, report.returned) == (0, 1), "though it was stored twice"
    assert remarks()["o2"] == []


def test_a_type_that_breaks_when_everything_is_read_is_asked_for_everything_again(
    house: House, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(house, observation(0), observation(2))
    read(house)
    days.pass_by(7)
    late = observation(3) | {"meta": {"lastUpdated": "2024-04-01T00:00:00Z"}}
    hold(house, observation(0), late, observation(6))
    broken = lambda asked: (  # noqa: E731
        Reply(500) if asked.path.endswith("/Observation") and "_lastUpdated" not in asked.query else None
    )
    house.provider.rule(broken)
    assert read(house).links.partial == 1
    assert "Observation/o6" in {f"{kind}/{name}" for kind, name, _ in house.held()["resources"]}, "what is new came"
    assert since() == {"Observation": "2024-05-01T10:02:00Z"}

    monkeypatch.setenv("CHARTHOUSE_WHOLE_DAYS", "0")  # the link's own day of the next week could be any of these
    get_settings.cache_clear()
    days.pass_by(1)
    read(house)
    house.provider.rules.remove(broken)
    assert gone() == {}
    days.pass_by(1)
    asked_since(house)
    assert read(house).links.complete == 1
    assert asked_since(house) == [None], "the night after, and the one after that, until it comes"
    assert gone() == {"Observation/o2": "not_served"}
    assert "o3" in {name for _, name, _ in house.held()["resources"]}
    days.pass_by(1)
    read(house)
    assert asked_since(house) == ["ge2024-05-01T10:01:00Z"]


def test_a_document_that_is_not_to_be_had_is_asked_for_once_a_week(
    house: House, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTHOUSE_ATTACHMENT_BYTES", "4000")
    get_settings.cache_clear()
    shown = [{"attachment": {"url": f"Binary/{name}"}} for name in ("gone", "large", "there")]
    letter = {
        "resourceType": "DocumentReference", "id": "d", "status": "current", "content": shown,
        "subject": {"reference": f"Patient/{PATIENT}"},
    }  # fmt: skip
    hold(house, letter, {"resourceType": "Binary", "id": "there", "contentType": "a/b", "data": "AAAA"})
    size = [5000]
    house.provider.rule(
        lambda asked: (
            Reply(200, b"x" * size[0], {"Content-Type": "text/plain"}) if asked.path.endswith("/large") else None
        )
    )

    def asked() -> set[str]:
        found = {request.path.rpartition("/")[2] for request in house.provider.asked if "/Binary/" in request.path}
        house.provider.asked.clear()
        return found

    report = night(house)
    assert asked() == {"gone", "large", "there"}
    assert [(said.code, said.count) for said in report.outcomes] == [("CH164", 2)]
    assert report.status == "complete", "it is a remark"
    days.pass_by(1)
    report = read(house)
    assert asked() == set()
    assert [(said.code, said.count) for said in report.outcomes] == [("CH164", 2)], "it is still told"
    size[0] = 10
    days.pass_by(7)
    assert [(said.code, said.count) for said in read(house).outcomes] == [("CH164", 1)]
    assert asked() == {"gone", "large"}
    days.pass_by(1)
    read(house)
    assert asked() == set()


def test_what_is_laid_out_in_another_way_is_no_new_version(house: House, days: Days) -> None:
    """As where a provider is searched one night and exported the next; but 90.0 is more precise than 90."""
    hold(house, *(observation(number) | {"note": [{"text": "früh"}]} for number in range(3)))

    def versions() -> int:
        with session() as state:
            for link in state.scalars(select(Link)):
                links.clear_watermarks(state, link.id)
        return sum(row.new_versions for row in read(house).types)

    assert versions() == 4

    values = {"91": "91"}

    def anew(asked: Asked) -> Reply | None:
        if not asked.path.endswith("/Observation"):
            return None
        found = json.loads(house.provider._search("Observation", replace(asked, headers={})).body)
        text = json.dumps(found, indent=3, sort_keys=True, ensure_ascii=False)
        return Reply(200, text.replace('"value": 91', f'"value": {values["91"]}').encode())

    house.provider.rule(anew)
    assert versions() == 0
    with open_vault(read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM vault.resources").fetchone() == (4,)
    values["91"] = "91.0"
    assert versions() == 1
    with session(read_only=True) as state:
        assert run_report(state, latest_run(state).id).links.complete == 1


def test_silence_says_nothing_where_not_everything_came(house: House, days: Days) -> None:
    everything = (
        observation(0), observation(1), observation(2), goal("g0"), goal("g1"), condition("c0"),
        {"resourceType": "Procedure", "id": "p0", "subject": {"reference": f"Patient/{PATIENT}"}},
        {"resourceType": "Device", "id": "d0", "patient": {"reference": f"Patient/{PATIENT}"}},
        {"resourceType": "Coverage", "id": "v0", "beneficiary": {"reference": f"Patient/{PATIENT}"}},
        {"resourceType": "Immunization", "id": "i0", "patient": {"reference": f"Patient/{PATIENT}"}},
    )  # fmt: skip
    hold(house, *everything)
    read(house)
    hold(house, observation(0), goal("g0"))
    kinds = ("Condition", "Procedure", "Device", "Coverage", "Immunization")
    house.provider.offers |= {kind: {} for kind in kinds}
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "suppressed"}]}
    told = {"search": {"mode": "outcome"}, "resource": outcome}

    def behaviour(asked: Asked) -> Reply | None:
        kind = asked.path.split("/")[2]
        if kind == "Goal" and asked.one("start") is None:
            bundle = {"resourceType": "Bundle", "type": "searchset", "total": 2, "entry": [{"resource": goal("g0")}]}
            return as_json(bundle)  # it counts one more than it shows
        return {
            "Condition": Reply(403),
            "Procedure": Reply(400),
            "Device": Reply(500),
            "Coverage": as_json({"resourceType": "Bundle", "type": "searchset", "entry": [told]}),
        }.get(kind)

    house.provider.rule(behaviour)
    with session() as state:
        link = state.scalars(select(Link)).one()
        link.granted_scopes = " ".join(f"patient/{kind}.rs" for kind in ("Patient", "Observation", "Goal", *kinds[:-1]))
        link_id = link.id
    days.pass_by(7)
    report = read(house)
    assert gone() == {"Observation/o1": "not_served", "Observation/o2": "not_served"}, "the others say nothing"
    assert (report.vanished, report.links.partial) == (2, 1)

    # A person who took the link away while the night was on its way: nothing is marked by it.
    hold(house)
    with session() as state:
        links.clear_watermarks(state, link_id)
    (name,) = house.plan()
    checked = check_batch(collect_batch(name))
    disconnect(link_id)
    store_batch(checked)
    assert len(gone()) == 2


def test_parts_speak_for_their_category_and_a_read_for_what_it_reads(house: House, days: Days) -> None:
    doctor = {"resourceType": "Practitioner", "id": "dr"}
    visit = {
        "resourceType": "Encounter",
        "id": "e0",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "participant": [{"individual": {"reference": "Practitioner/dr"}}],
    }
    plain = condition("c3")
    hold(house, condition("c1", "health-concern"), condition("c2", "problem-list-item"), plain, doctor, visit)
    house.provider.offers["Practitioner"] = {"params": []}
    params = ["patient", "category", "_lastUpdated"]
    house.provider.offers["Condition"] = {"params": params}
    read(house)
    assert gone() == {}
    hold(house, condition("c2", "problem-list-item"), visit)

    def behaviour(asked: Asked) -> Reply | None:
        kind, category = asked.path.split("/")[2], asked.one("category")
        refused = kind == "Condition" and category is None
        failed = category == "encounter-diagnosis"
        return Reply(400) if refused else Reply(500) if failed else None

    house.provider.rule(behaviour)
    days.pass_by(7)
    read(house)
    assert gone() == {"Condition/c1": "not_served", "Practitioner/dr": "not_found"}
    house.provider.rule(lambda asked: Reply(410) if asked.path.split("/")[2] == "Patient" else None)
    days.pass_by(7)
    read(house)
    assert gone().keys() == {"Condition/c1", "Practitioner/dr", f"Patient/{PATIENT}"}


def test_no_night_reads_all_links_whole_and_each_has_its_turn(house: House) -> None:
    with session(read_only=True) as state:
        (work,) = links.due_links(state)
    begun = datetime(2026, 3, 1, 2, tzinfo=UTC)
    many = [
        replace(work, link_id=f"link-{number}", watermarks={"Observation": "2024"}, read_whole_at=begun)
        for number in range(700)
    ]
    turns: dict[str, list[int]] = {}
    for night in range(1, 15):
        at = begun + timedelta(days=night)
        whole = whole_reads.due_tonight(many, 7, at)
        assert len(whole) < 150
        many = [replace(link, read_whole_at=at) if link.link_id in whole else link for link in many]
        for link_id in whole:
            turns.setdefault(link_id, []).append(night)
    assert len(turns) == 700
    assert all(second - first == 7 for first, second in turns.values())
    missed = whole_reads.due_tonight(many, 7, begun + timedelta(days=60))
    assert len(missed) == 200, "after nights that were missed, some more, and not all"
    assert whole_reads.due_tonight(many, 0, begun + timedelta(days=60)) == frozenset()
