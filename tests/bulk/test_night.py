"""The DAG, over a provider that exports and one that is searched; and what an operator sees of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from charthouse.operating import airflow_process
from plugins.steps import until
from tests.bulk.conftest import KEY, ROOT, SYSTEM, House

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bulk.conftest import Vault


def run(house: House, *arguments: str, fed: str = "") -> subprocess.CompletedProcess[str]:
    """`charthouse …` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "charthouse", *arguments],
        cwd=ROOT,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        input=fed,
        text=True,
        timeout=300,
        check=False,
    )


def dag(house: House) -> None:
    """A whole night by `airflow dags test`."""
    log = house.home / "logs" / "night.log"
    airflow_process.make_ready(log)
    with log.open("ab") as noise:
        process = airflow_process.dag_test("sync_records", {"providers": ["clinic"]}, noise)
        assert process.wait(timeout=400) == 0, log.read_text()[-3000:]


def test_a_night_of_the_dag_by_export_makes_the_tables_of_one_by_searches(
    house: House,
    linked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    migrated_airflow: Callable[[Path], None],
) -> None:
    """Set up by the command line; seen by it; its log is one that other tools read."""
    shutil.copytree(linked, tmp_path / "searched")
    searched = House(tmp_path / "searched", house.sandbox).enter(monkeypatch)
    searched.night()
    expected = searched.tables()

    house.enter(monkeypatch)
    assert run(house, "providers", "bulk", "clinic", "--off").returncode == 0
    key = json.dumps(KEY.as_dict(private=True))
    arguments = ("--group", "everyone", "--client-id", SYSTEM, "--key-file", "-")
    assert run(house, "providers", "bulk", "clinic", *arguments, fed=key).returncode == 0
    house.sandbox.habits(working_polls=2)
    house.sandbox.asked()
    migrated_airflow(house.home)
    dag(house)
    assert house.tables() == expected
    asked = house.sandbox.asked()
    assert (asked["others"]["export"], asked["others"]["bulkstatus"]) == (1, 4), "three looks, and the end"
    assert "Observation" not in asked["types"], "nobody was searched"

    [job] = json.loads(run(house, "providers", "exports", "--json").stdout)
    assert (job["status"], job["level"], job["code"]) == ("done", "Group/everyone", None)
    assert job["left_out"] > 0
    [log] = house.home.glob("logs/bulk/clinic/*/log.ndjson")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    kinds = [event["eventId"] for event in events]
    assert (kinds[0], kinds[-1]) == ("kickoff", "export_complete")
    assert kinds.count("download_complete") == kinds.count("download_request") == job["files"]
    assert events[0]["eventDetail"]["exportUrl"] == f"{house.sandbox.base}/Group/everyone/$export"
    assert {event["exportId"] for event in events} == {job["job_id"]}
    assert not any(patient in log.read_text() for patient in house.sandbox.people())
    assert "bulkfiles" not in log.read_text(), "an address may be all that it takes to read a file"


def test_a_task_that_has_to_wait_long_gives_its_slot_back() -> None:
    moment = datetime.now(UTC) + timedelta(minutes=5)
    with pytest.raises(AirflowRescheduleException) as raised:
        until(moment)
    assert raised.value.reschedule_date == moment
    until(datetime.now(UTC) - timedelta(minutes=5))


def test_patients_of_a_server_that_only_exports_are_linked_by_their_names(
    house: House, crawled: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a server has no Patient to be read, though its /metadata may say so; the export shows who is nobody."""
    house.enter(monkeypatch)
    monkeypatch.setenv("CHARTHOUSE_PRIVATE_ADDRESSES", "loopback")
    house.sandbox.faults({"match": {"path": "Patient/"}, "act": {"status": 404}})
    *_, fourth, fifth = house.sandbox.people()
    done = run(house, "links", "add", house.sandbox.base, "--patients", "@-", fed=f"{fourth}\n{fifth}\nnobody-there")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "3 new, 0 known" in done.stdout
    house.sandbox.faults({"match": {"path": "Patient"}, "act": {"status": 404}})
    house.sandbox.group("some", [fourth, fifth])
    house.export(level="Group/some")
    done = run(house, "links", "add", house.sandbox.base, "--patients", "all")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "0 new, 2 known" in done.stdout, "all are those of the group"
    house.export()
    house.sandbox.faults()
    house.fetch()
    assert len({row[0] for row in house.vault()}) == 5
    assert crawled < house.vault()
    assert house.codes() == {("CH158", None)}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--group", "a b"), "CH162"),
        (("--patients", "--url", "no address"), "CH162"),
        (("--patients", "--registration", "nobody"), "CH620"),
        (("--patients", "--client-id", "x", "--key-file", "-"), "CH163"),
        (("--patients", "--key-file", "-"), "CH162"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(
    house: House, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: str
) -> None:
    house.enter(monkeypatch)
    done = run(house, "providers", "bulk", "clinic", *arguments, fed="canary-key")
    assert done.returncode == 1
    assert done.stderr.startswith(code)
    assert "canary" not in done.stdout + done.stderr
