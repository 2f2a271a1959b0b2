"""`$everything` as a stream: faults of the partner's, kills of ours, and what must never land."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from sqlalchemy import delete, update

from charthouse.linking import finding, links
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.ledger import SyncRun
from charthouse.state.models import Link, Watermark
from charthouse.sync import batches, landing, runs
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.night import run_id_of
from charthouse.sync.plan import plan_run
from charthouse.sync.store import store_batch
from transforms.bundles import read_page, resource_stub

from .conftest import ROOT, verified


def searched(partner, number: int = 0) -> str:
    """One of the partner's people, searched for; their link's id."""
    key = verified(partner.patients["north"][number])
    finding.look_now(key)
    with session(read_only=True) as state:
        (link,) = links.list_links(state, person_key=key)
    return link.link_id


def landed(name: str) -> tuple[landing.Manifest, set[tuple[str, str]]]:
    """The marker of the one link of a night as far as the vault, and what landed."""
    (batch,) = plan_run([], airflow_run_id=name)
    collect_batch(batch)
    return marker(batch)


def marker(batch: str) -> tuple[landing.Manifest, set[tuple[str, str]]]:
    folder = next(batches.read(batch).folder.glob("*/complete.json")).parent
    pages = [read_page(body) for file in landing.page_files(folder) for body in landing.read_pages(file)]
    stubs = [resource_stub(entry.raw)[:2] for page in pages for entry in page.entries]
    assert len(stubs) == len(set(stubs)), "nothing lands twice"
    manifest = landing.read_manifest(folder)
    assert manifest is not None
    return manifest, {(str(kind), str(name)) for kind, name in stubs}


def codes(manifest: landing.Manifest) -> dict[str, int]:
    return {said.code: said.count for said in manifest.outcomes}


def test_a_stream_that_fails_late_or_is_cut_is_gone_on_with_and_nothing_is_asked_for_twice(partner):
    searched(partner)
    manifest, whole = landed("whole")
    assert (manifest.status, codes(manifest)) == ("complete", {})
    assert {"Provenance", "Practitioner", "Observation"} <= {kind for kind, _ in whole}
    assert [name for kind, name in whole if kind == "Immunization" and name.startswith("not-said")], "hers all the same"
    asked = []
    for number, habits in enumerate(
        [{"late_outcome": 40, "times": 2}, {"cut": 25, "times": 2}, {"cut": 25, "times": 1, "deaf_to_above": True}]
    ):
        again_from_the_start()
        partner.habits(**habits)
        partner.asked()
        manifest, came = landed(f"night-{number}")
        assert (manifest.status, codes(manifest), came) == ("complete", {}, whole), habits
        asked.append(partner.asked()["counts"]["everything"])
    assert asked == [3, 3, 2]


def test_a_stream_that_never_ends_well_keeps_what_came_and_moves_no_mark(partner):
    link_id = searched(partner)
    partner.habits(late_outcome=30, times=1_000, deaf_to_above=True)
    batch = plan_run([], airflow_run_id="bad")[0]
    store_batch(check_batch(collect_batch(batch)))
    with session(read_only=True) as state:
        link = links.get_link(state, link_id)
        (work,) = links.work_of(state, [link_id])
    assert (link.sync_status, work.watermarks) == ("partial", {})


def test_nothing_of_another_person_and_nothing_hidden_or_restricted_lands(partner):
    searched(partner, 1)
    _, whole = landed("clean")
    again_from_the_start()
    partner.habits(foreign_patient=True, sends_hidden=True)
    manifest, came = landed("mixed up")
    assert came == whole
    said = codes(manifest)
    assert said.pop("CH184") >= 2
    assert said == {"CH183": 2}
    assert not any(record.exhaustive for record in manifest.queries), "what is held back says nothing of what is gone"


def test_only_what_is_new_is_asked_for_the_next_night(partner):
    searched(partner, 2)
    (batch,) = plan_run([], airflow_run_id="first")
    store_batch(check_batch(collect_batch(batch)))
    end("first")
    manifest, _ = landed("second")
    assert {record.mode for record in manifest.queries if record.resources} <= {"incremental", "full"}
    assert [record.watermark for record in manifest.queries if record.label == "$everything"] != [None]


@pytest.mark.crash
@pytest.mark.parametrize("point", ["stream.chunk", "stream.read", "stream.closing"])
def test_a_night_that_is_killed_while_it_streams_goes_on_from_its_spool(partner, home, point):
    searched(partner, 3)
    _, whole = landed("whole")
    again_from_the_start()
    partner.habits(slow_lines=0.0005)
    (batch,) = plan_run([], airflow_run_id="killed")
    code = f"from charthouse.sync.collect import collect_batch; collect_batch({batch!r})"
    environment = {**os.environ, "CHARTHOUSE_CRASH_AT": point}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, timeout=120, check=False)
    assert done.returncode == -9
    spools = list(home.glob("landing/*/*/export/*/stream.ndjson"))
    assert spools
    with spools[0].open("ab") as torn:
        torn.write(b'{"resourceType":"Observation","id":"cut o')
    partner.asked()
    collect_batch(batch)
    assert marker(batch)[1] == whole
    assert not list(home.glob("landing/*/*/export")), "nothing is left beside the links"


def again_from_the_start() -> None:
    """Forget how far links were read, and the nights that have landed."""
    with session() as state:
        state.execute(update(SyncRun).values(status="failed"))
        state.execute(update(Link).values(sync_status="failed"))
        state.execute(delete(Watermark))
    shutil.rmtree(get_settings().landing, ignore_errors=True)
    get_settings().landing.mkdir()


def end(name: str) -> None:
    """Close a night in the ledger."""
    with session() as state:
        runs.finish_run(state, run_id_of(name), "complete")


def test_two_people_with_one_patient_each_get_their_own_stream_alone(partner):
    """Two accounts of one human being: the partner links one Patient to both of its Persons."""
    both = {searched(partner, 0), searched(partner, 0)}
    (batch,) = plan_run([], airflow_run_id="shared")
    partner.asked()
    collect_batch(batch)
    assert partner.asked()["counts"]["everything"] == 2
    folder = batches.read(batch).folder
    manifests = [landing.read_manifest(folder / link_id) for link_id in both]
    assert [(one.status, codes(one)) for one in manifests if one is not None] == [("complete", {})] * 2
    assert len({one.resources for one in manifests if one is not None}) == 1
