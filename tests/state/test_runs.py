"""The ledger: one run a scope, each entry counted once however often it is written, and a report that adds up."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import pytest

from charthouse.errors import StateError
from charthouse.linking import links, people
from charthouse.state import session
from charthouse.state.base import now
from charthouse.sync import runs
from charthouse.sync.runs import Outcome, Tally


@pytest.fixture
def run(home) -> str:
    with session() as state:
        return runs.open_or_resume_run(state, "all", "scheduled__1").id


def test_an_unfinished_run_is_resumed_and_a_finished_one_is_not(run):
    with session() as state:
        again = runs.open_or_resume_run(state, "all", "scheduled__2")
        assert (again.id, again.resumed, again.airflow_run_id) == (run, 1, "scheduled__2")
        other = runs.open_or_resume_run(state, "clinic")
        assert other.id != run
        assert runs.current_run(state, "scheduled__2").id == run
        assert runs.latest_run(state).id == other.id
        assert runs.latest_run(state, "all").id == run
        runs.finish_run(state, run, "partial")
        assert runs.current_run(state).id == other.id
        assert runs.open_or_resume_run(state, "all").id != run
        assert len(runs.list_runs(state)) == 3
        with pytest.raises(StateError, match="CH009"):
            runs.finish_run(state, "nothing", "complete")


def test_processes_that_open_a_run_at_once_get_the_same_one(home, at_once):
    said = at_once(*[("run", "all")] * 3)
    assert len({answer["did"] for answer in said}) == 1
    with session(read_only=True) as state:
        assert runs.latest_run(state).resumed == 2


def account(state, run: str, first: str, second: str) -> None:
    """What two batches of a night write down."""
    runs.plan_links(state, run, [first, second])
    runs.record_link_results(state, run, {first: "complete"})
    tallies = [
        Tally(first, "Observation", fetched=10, accepted=8, with_remarks=3, quarantined=1, repeated=1, new_versions=8),
        Tally(first, "Patient", fetched=1, accepted=1, unchanged=1),
        Tally(second, "Observation", fetched=5, accepted=5, new_versions=4, unchanged=1),
        Tally(second, "Claim", not_requested="scope"),
    ]
    runs.record_tallies(state, run, tallies)
    runs.record_outcomes(state, run, "batch-1", [Outcome("CH201", "resource", first, "Observation")])
    runs.record_outcomes(
        state,
        run,
        "batch-2",
        [
            Outcome("CH201", "resource", second, "Observation", count=2),
            Outcome("CH103", "type", second, "Claim", "Claim"),
            Outcome("CH117", "batch"),
        ],
    )
    runs.record_table_tally(state, run, "vitals", rows=12, rows_changed=12, held_rows=1)


def test_what_is_written_twice_counts_once_and_the_report_adds_up(link, run):
    with session() as state:
        person = people.create_person(state).person_key
        other = links.start_link(state, person, "clinic", "direct", patient_id="second").id
        account(state, run, link, other)
        once = runs.run_report(state, run)
        account(state, run, link, other)
        report = runs.run_report(state, run)
    assert report == once
    assert asdict(report.links) == {"total": 2, "complete": 1, "partial": 0, "failed": 0, "waiting": 1}
    assert [kind.resource_type for kind in report.types] == ["Claim", "Observation", "Patient"]
    claim, observation, patient = report.types
    assert claim.not_requested == {"scope": 1}
    assert asdict(observation) == {
        "resource_type": "Observation",
        "fetched": 15,
        "accepted": 13,
        "with_remarks": 3,
        "quarantined": 1,
        "repeated": 1,
        "unchanged": 1,
        "new_versions": 12,
        "vanished": 0,
        "returned": 0,
        "not_requested": {},
    }
    for kind in (observation, patient):
        assert kind.fetched == kind.accepted + kind.quarantined + kind.repeated
        assert kind.accepted == kind.new_versions + kind.unchanged
    assert (report.fetched, report.new_versions, report.nothing_new) == (16, 12, False)
    said = {(row.code, row.unit, row.resource_type): (row.count, row.links) for row in report.outcomes}
    assert said == {
        ("CH103", "type", "Claim"): (1, 1),
        ("CH117", "batch", None): (1, 0),
        ("CH201", "resource", "Observation"): (3, 2),
    }
    assert [asdict(table) for table in report.tables] == [
        {"table": "vitals", "rows": 12, "rows_changed": 12, "held_rows": 1}
    ]
    with session() as state:
        runs.record_tallies(state, run, [Tally(link, "Patient", fetched=1, accepted=1, unchanged=1)])
        runs.record_outcomes(state, run, "batch-2", [])
        shrunk = runs.run_report(state, run)
        assert runs.links_of(state, run, results=["waiting"]) == [other]
    assert {kind.resource_type: kind.fetched for kind in shrunk.types} == {"Claim": 0, "Observation": 5, "Patient": 1}
    assert [(row.code, row.count) for row in shrunk.outcomes] == [("CH201", 1)]


def test_stages_are_timed_on_the_clock_and_in_sum_and_a_killed_one_shows(run):
    with runs.stage(run, "plan") as counts:
        counts["links"] = 2
    start = now()

    def at(seconds: float):
        return start + timedelta(seconds=seconds)

    with session() as state:
        for part, begin, end in (("a", 0, 4), ("b", 2, 6), ("c", 10, 11)):
            detail = {"resources": 5}
            runs.record_stage(state, run, "fetch", part=part, started_at=at(begin))
            runs.record_stage(state, run, "fetch", part=part, started_at=at(begin), finished_at=at(end), detail=detail)
    with pytest.raises(ZeroDivisionError), runs.stage(run, "store", part="a"):
        1 / 0  # noqa: B018
    with session(read_only=True) as state:
        plan, *rest = runs.run_report(state, run).stages
        stages = {stage.stage: stage for stage in rest}
    assert (plan.stage, plan.parts, plan.attempts, plan.detail) == ("plan", 1, 1, {"links": 2})
    fetch = stages["fetch"]
    assert (fetch.parts, fetch.unfinished, fetch.attempts, fetch.detail) == (3, 0, 1, {"resources": 15})
    assert (fetch.wall_seconds, fetch.busy_seconds) == (7, 9)
    assert (stages["store"].unfinished, stages["store"].finished_at) == (1, None)

    with runs.stage(run, "store", part="a"):
        pass
    with session() as state:
        runs.finish_run(state, run, "complete")
        report = runs.run_report(state, run)
    (store,) = [stage for stage in report.stages if stage.stage == "store"]
    assert (store.attempts, store.unfinished) == (2, 0)
    assert report.seconds is not None
    assert report.nothing_new
