"""A fetch by export ends with what searches bring, whatever the server is like. What goes wrong: tests/faults."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.privacy.erasers.runs import _forget_export
from charthouse.sync.collect import collect_batch
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
    "that takes a kick-off by POST alone": ({"get": False, "files_per_page": 3}, {"partial_manifests": True}),
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


def test_a_manifest_of_more_pages_than_may_be_asked_for_at_once_is_gone_on_with(house: House, crawled: Vault) -> None:
    """Every second page is refused for now, more often in all than a job may stumble."""
    house.sandbox.habits(files_per_page=1, resources_per_file=20)
    house.export(partial_manifests=True)
    refused = range(2, 40, 2)
    rules = [{"match": {"query": f"page={page}"}, "times": 1, "act": {"retry_after": 0}} for page in refused]
    busy = {"match": {"query": "page=7"}, "times": 1, "act": {"retry_after": 1}}
    house.sandbox.faults(busy, *rules)
    [batch] = plan_run([], airflow_run_id="night-0")

    class LaterError(Exception):
        """The task gives its slot back, and another process takes it up."""

    def later(_: object) -> None:
        raise LaterError

    shelves: set[bytes] = set()
    over = False
    while not over:
        try:
            collect_batch(batch, wait=later)
            over = True
        except LaterError:
            shelves |= {file.read_bytes() for file in house.home.glob("landing/*/*/export/*.manifest")}
            time.sleep(0.05)
    (shelf,) = shelves
    assert len(shelf.splitlines()) == 6, "the pages that came before the seventh"
    assert b"bulkfiles" not in shelf, "an address may be all that it takes to read a file"
    assert house.land() == crawled
    assert house.sandbox.acted() == [1] * (1 + len(refused))
    asked = house.sandbox.asked()["others"]
    assert asked["export"] == 1, "one job"
    files = asked["bulkfiles"]
    assert asked["bulkstatus"] == files + len(refused) + 2, "each page came once, and in the end the job was removed"


def test_a_token_endpoint_that_is_down_for_a_while_costs_a_wait(house: House, crawled: Vault) -> None:
    house.sandbox.habits(working_polls=2)
    down = (of("bulkstatus", 1, expire_token=True), of("oauth/token", 10, status=503))
    told: list[object] = []

    def wait(moment: object) -> None:
        if not told:
            house.sandbox.faults(*down)
        told.append(moment)

    assert house.land(wait=wait) == crawled
    assert house.sandbox.acted() == [1, 10], "ten tries were in vain"
    assert house.sandbox.asked()["others"]["export"] == 1, "the job is the one that was begun"
    assert [manifest.status for manifest in house.manifests()] == ["complete"] * 3


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
