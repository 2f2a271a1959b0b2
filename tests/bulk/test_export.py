"""A fetch by export ends with what searches bring, whatever the server is like and whatever goes wrong on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.privacy.erasers.runs import _forget_export
from charthouse.sync.plan import plan_run
from tests.bulk.conftest import ROOT

if TYPE_CHECKING:
    from tests.bulk.conftest import House, Vault

SERVERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "of the standard": ({}, {}),
    "whose files need no token and are not read with one": ({"requires_access_token": False}, {}),
    "that is open": ({"open": True}, {"registration": None}),
    "with the names of STU 4 and a status of its own": ({"names": "stu4", "separate_status": "always"}, {}),
    "that pages its manifest": ({"files_per_page": 3}, {"partial_manifests": True}),
    "that exports nothing of nobody": ({"shared": False}, {}),
    "that exports patients without a group": ({}, {"level": "Patient"}),
    "that says little and keeps at it": (
        {"counts": False, "ranges": False, "working_polls": 2, "retry_after": "date"},
        {},
    ),
}
"""Habits of the server, and what its operator set here."""


@pytest.mark.parametrize("server", SERVERS)
def test_every_kind_of_server_brings_what_searches_bring(house: House, crawled: Vault, server: str) -> None:
    habits, options = SERVERS[server]
    house.sandbox.habits(**habits)
    house.export(**options)
    assert house.land() == crawled
    for manifest in house.manifests():
        assert (manifest.status, manifest.outcomes) == ("complete", ())
    assert house.sandbox.exports() == [], "the job is deleted when its files are read"


def of(path: str, times: int = 1, kind: str | None = None, **act: Any) -> dict[str, Any]:
    """A fault of the server."""
    match = {"path": path} | ({"type": kind} if kind else {})
    return {"match": match, "times": times, "act": act}


FAULTS: dict[str, tuple[dict[str, Any], ...]] = {
    "the line is lost within files": (
        of("bulkfiles", 3, "Observation", cut=True),
        of("bulkfiles", 1, "Claim", cut=True),
    ),
    "the line is lost where nothing can be gone on with": (of("bulkfiles", 2, "Observation", cut=True),),
    "nobody answers": (
        of("$export", 1, hang_up=True),
        of("bulkstatus", 1, hang_up=True),
        of("bulkfiles", 2, hang_up=True),
    ),
    "too much is asked": (
        of("$export", 1, retry_after=0),
        of("bulkstatus", 2, retry_after=0),
        of("bulkfiles", 1, status=429),
    ),
    "the server breaks": (
        of("$export", 1, status=500),
        of("bulkstatus", 1, status=500),
        of("bulkfiles", 1, status=503),
    ),
    "a file ends within a line": (
        of("bulkfiles", 1, "Observation", body="truncate"),
        of("bulkfiles", 1, "Patient", body="html"),
    ),
    "the token ends between files": (
        of("bulkfiles", 1, "Patient", expire_token=True),
        of("bulkfiles", 1, "Observation", expire_token=True),
        of("bulkstatus", 1, expire_token=True),
    ),
    "the job is gone": (of("bulkstatus", 1, status=404),),
    "the job fails": (of("bulkstatus", 1, status=400),),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_that_passes_costs_nothing(house: House, crawled: Vault, fault: str) -> None:
    house.sandbox.habits(ranges="gone on" not in fault)
    rules = FAULTS[fault]
    house.sandbox.faults(*rules)
    assert house.land() == crawled
    assert house.sandbox.acted() == [rule["times"] for rule in rules], "every fault was met"
    assert [manifest.status for manifest in house.manifests()] == ["complete"] * 3
    for manifest in house.manifests():
        assert manifest.outcomes == ()


def test_a_manifest_of_more_pages_than_may_be_asked_for_at_once_is_gone_on_with(house: House, crawled: Vault) -> None:
    """Every second page is refused for now, more often in all than a job may stumble."""
    house.sandbox.habits(files_per_page=1, resources_per_file=20)
    house.export(partial_manifests=True)
    refused = range(2, 40, 2)
    house.sandbox.faults(
        *({"match": {"query": f"page={page}"}, "times": 1, "act": {"retry_after": 0}} for page in refused)
    )
    told: list[object] = []
    assert house.land(wait=told.append) == crawled
    assert house.sandbox.acted() == [1] * len(refused)
    assert house.sandbox.asked()["others"]["export"] == 1, "one job"
    assert len(told) == 1, "with pages in hand the task does not give its slot back"


POINTS = (
    "export.begun",
    "export.ready",
    "export.flushed",
    "export.file",
    "export.read",
    "export.closing",
    "export.link",
)
STEP = "import sys; from charthouse.sync.collect import collect_batch; collect_batch(sys.argv[1])"


def crash(batch: str, point: str) -> None:
    """Kill the fetch of a batch at a point."""
    env = os.environ | {"CHARTHOUSE_CRASH_AT": point}
    done = subprocess.run([sys.executable, "-c", STEP, batch], cwd=ROOT, env=env, capture_output=True, timeout=60)
    assert done.returncode == -9, done.stderr.decode()


@pytest.mark.crash
def test_what_an_erasure_takes_away_under_an_export_is_read_again(house: House, crawled: Vault) -> None:
    [batch] = plan_run([], airflow_run_id="night-0")
    crash(batch, "export.closing")
    _forget_export(house.home / "landing" / batch, [crawled_link for crawled_link, *_ in crawled][:1])
    assert not (house.home / "landing" / batch / "export").exists()
    assert house.land() == crawled


@pytest.mark.crash
def test_an_export_that_is_killed_at_every_point_goes_on_where_it_was(house: House, crawled: Vault) -> None:
    [batch] = plan_run([], airflow_run_id="night-0")
    house.sandbox.faults(of("bulkfiles", 2, "Observation", cut=True))
    for point in POINTS:
        crash(batch, point)
    assert house.land() == crawled
    asked = house.sandbox.asked()["others"]
    assert asked["export"] == 1, "the job is the one that was begun first"
    assert [manifest.status for manifest in house.manifests()] == ["complete"] * 3
