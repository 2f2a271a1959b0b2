"""Retention and deadlines: what is past its time goes, what something rests on stays, and nobody is late unheard."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from sqlalchemy import func, select, text, update

from charthouse.clock import now
from charthouse.lake.session import open_vault
from charthouse.linking import links
from charthouse.linking.alarms import open_alarms
from charthouse.linking.people import create_person
from charthouse.operating import airflow_process
from charthouse.privacy import deadlines, requests, retention
from charthouse.privacy.pruners import PRUNERS
from charthouse.settings import get_settings
from charthouse.state import audit, session
from charthouse.state.ledger import SyncRun, SyncTally
from charthouse.state.linking import OperatorAlarm
from charthouse.state.models import Link, LinkEvent, Watermark
from charthouse.state.notices import Delivery, Notice
from charthouse.state.privacy import Download, ExportPart, PrivacyRequest
from charthouse.sync import footing
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from plugins.deadlines import missed, within
from tests.conftest import Installation, home
from tests.sync.conftest import BOTH, House, house, observation  # noqa: F401  # `house` is a fixture

__all__ = ["home"]  # an empty one, not that of the canaries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from sqlalchemy.orm import DeclarativeBase

YEARS = 3000 * 86400


def test_every_line_of_the_table_says_why_and_has_somebody_who_makes_it_true(installation: Installation) -> None:
    assert installation.run("init").returncode == 0
    told = {line["name"]: line for line in installation.json("retention")}
    assert all(line["why"] and line["what"] and line["where"] for line in told.values())
    assert {name for name, line in told.items() if not line["fixed"]} == {*PRUNERS, "airflow"}
    assert {name for name, line in told.items() if line["fixed"]} == {"audit", "receipts", "records", "tombstones"}
    given = {"CHARTHOUSE_RETENTION": json.dumps({"logs": 5, "quarantine": 30, "notices": None})}
    done = installation.run("retention", "--json", env=given)
    told = {line["name"]: line["days"] for line in json.loads(done.stdout)}
    assert (told["logs"], told["quarantine"], told["notices"]) == (5, 30, None)
    for wrong in ({"everything": 1}, {"audit": 30}, {"logs": -1}):
        done = installation.run("retention", env={"CHARTHOUSE_RETENTION": json.dumps(wrong)})
        assert (done.returncode, done.stderr[:6]) == (1, "CH960 "), done.stderr


def counted(table: type[DeclarativeBase]) -> int:
    with session(read_only=True) as state:
        return state.scalar(select(func.count()).select_from(table)) or 0


def grow_old(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the clock eight years ahead."""
    clock = home.parent / "clock"
    clock.write_text(str(YEARS))
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(clock))
    monkeypatch.setenv("CHARTHOUSE_RETENTION", json.dumps({"quarantine": 365}))
    get_settings.cache_clear()


@BOTH
def test_what_is_old_goes_and_what_something_rests_on_stays(
    house: House,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house.night()
    house.provider.resources.append(observation(3))
    before = house.night()
    with session() as state:
        link = state.scalars(select(Link)).one()
        links.transition(state, link.id, "expired", "authorization_ended", "sync")
        links.transition(state, link.id, "pending", "access_returned", "sync")
        state.execute(update(Delivery).values(status="sent"))
        state.execute(update(Notice).values(planned_at=now()))
        done = PrivacyRequest(kind="export", person_key=link.person_key, actor="person", due_at=now(), status="done")
        done.done_at = now()
        state.add(done)
        state.flush()
        part = ExportPart(
            request_id=done.id, number=1, file="part-0001.zip.age", size=1, sha256="", sealed_key=b"", expires_at=now()
        )
        state.add(part)
        state.flush()
        state.add(Download(token_hash="0" * 64, part_id=part.id, expires_at=now()))
    exported = house.home / "exports" / part.request_id / part.file
    exported.parent.mkdir(parents=True)
    exported.write_bytes(b"sealed")
    for name in ("logs/old/task.log", "mail/1.eml", "landing/nobodys/b/l/000.pages", "staging/nobodys/x.parquet"):
        (house.home / name).parent.mkdir(parents=True, exist_ok=True)
        (house.home / name).write_bytes(b"old")
    due_now = {kept.entry.name: kept.due for kept in retention.look()}
    assert {name for name, due in due_now.items() if due} <= {"exports"}, "nothing but what ends at once"
    house.provider.resources.append(observation(4))
    [batch] = house.plan()  # a night in progress, which is killed before it stores
    check_batch(collect_batch(batch))
    landed = {file for file in (house.home / "landing").rglob("*") if file.is_file() and "nobodys" not in file.parts}

    grow_old(house.home, monkeypatch)
    (house.home / "logs" / "new.log").write_bytes(b"new")
    os.utime(house.home / "logs" / "new.log", (time.time() + YEARS,) * 2)
    due = {kept.entry.name: kept.due for kept in retention.look()}
    removed = retention.apply()
    assert {name: due[name] for name in removed} == removed | {"downloads": 1}, "it went with its part"
    assert removed["ledger"] == 1, "the run that compacted last stays, and the open one"
    assert removed["deposits"] == 2, "the founding, and the first night's"
    assert removed["logs"] >= 1
    assert min(removed[name] for name in ("landing", "staging", "mails", "sync_events", "requests", "notices")) >= 1
    assert not exported.exists()
    assert {file.name for file in (house.home / "logs").rglob("*.log")} == {"new.log"}
    assert landed == {file for file in (house.home / "landing").rglob("*") if file.is_file()}
    assert counted(Watermark) > 0
    footing.check()
    with session(read_only=True) as state:
        kept = state.execute(select(LinkEvent.field, LinkEvent.to_state).order_by(LinkEvent.id)).all()
        assert ("status", "pending") in kept
        assert state.scalar(select(func.count()).select_from(SyncRun)) == 2
        assert set(state.scalars(select(SyncTally.run_id))) <= set(state.scalars(select(SyncRun.id)))
        [told] = [event for event in audit.trail(state, "retention", "retention") if event.detail][-1:]
    assert told.detail == {name: count for name, count in removed.items() if count}
    assert sum(retention.apply().values()) == 0

    after = house.night()
    assert (len(after["rows"]), len(before["rows"])) == (5, 4)
    with open_vault(read_only=True) as connection:
        [(numbers, distinct)] = connection.execute(
            "SELECT count(*), count(DISTINCT stored_seq) FROM vault.resources WHERE resource_type = 'Observation'"
        ).fetchall()
    assert numbers == 5
    assert distinct == 3


def run_week(home: Path) -> dict[str, str]:
    """One run of keep_retention. How its tasks ended."""
    log = home / "logs" / "test.log"
    with log.open("ab") as out:
        airflow_process.dag_test("keep_retention", {}, out).wait()
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as database:
        return dict(
            database.execute(
                "SELECT task_id, state FROM task_instance"
                " WHERE run_id = (SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1)"
            ).fetchall()
        )


def test_the_weekly_dag_trims_airflows_own_database_and_looks_at_the_trail(
    home: Path, migrated_airflow: Callable[[Path], None]
) -> None:
    migrated_airflow(home)
    assert run_week(home) == dict.fromkeys(("prune", "trim_airflow", "verify_audit"), "success")
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as database, database:
        for table in ("dag_run", "task_instance"):
            database.execute(f"UPDATE {table} SET start_date = '2020-01-01 00:00:00', end_date = start_date")
        [(old,)] = database.execute("SELECT run_id FROM dag_run").fetchall()
    with session() as state:
        state.execute(text("UPDATE audit_event SET action = 'harmless' WHERE id = 1"))
    ended = run_week(home)
    assert (ended["prune"], ended["trim_airflow"]) == ("success", "success")
    assert ended["verify_audit"] in ("failed", "up_for_retry")
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as database:
        assert old not in {run_id for (run_id,) in database.execute("SELECT run_id FROM dag_run")}
        assert not database.execute("SELECT name FROM sqlite_master WHERE name LIKE '_airflow_deleted%'").fetchall()


def test_a_request_that_does_not_get_through_is_told_and_tried_again_at_once(home: Path) -> None:
    installation = Installation(home)
    with session() as state:
        person = create_person(state).person_key
        export, erasure = (ask(state, person).request_id for ask in (requests.ask_export, requests.ask_erasure))
        state.execute(update(PrivacyRequest).values(status="running", tries=7, code="CH911"))
    for said in (installation.run("status").stdout, installation.run("doctor").stdout):
        told = " ".join(said.split())
        assert all(word in told for word in (export, erasure, "CH911", "7 tries", f"requests retry {erasure}")), said
    for request, word in ((export, "ready"), (erasure, "receipt:")):
        for again in (word, "it is done"):
            done = installation.run("requests", "retry", request)
            assert done.returncode == 0, done.stderr
            assert again in done.stdout
    assert "none is stuck" in installation.run("doctor").stdout
    assert installation.run("requests", "retry", "no-such-request").stderr.startswith("CH900 ")


def test_a_request_near_its_due_date_is_told_until_it_is_done(
    home: Path,
) -> None:
    installation = Installation(home)
    with session() as state:
        person = create_person(state).person_key
        asked = requests.ask_export(state, person).request_id
    assert deadlines.watch() == 0
    with session() as state:
        state.execute(update(PrivacyRequest).values(due_at=now() + timedelta(days=14)))
    assert [deadlines.watch(), deadlines.watch()] == [1, 1]
    with session(read_only=True) as state:
        assert [(alarm.code, alarm.subject, alarm.count) for alarm in open_alarms(state)] == [("CH951", asked, 1)]
    assert f"CH951 A request of a person comes near its due date: {asked}" in " ".join(
        installation.run("status").stdout.split()
    )
    examined = json.loads(installation.run("doctor", "--json").stdout)
    [found] = [line for line in examined if line["what"] == "requests of people"]
    assert not found["healthy"]
    with session() as state:
        requests.cancel(state, asked)
    assert deadlines.watch() == 0
    with session(read_only=True) as state:
        assert open_alarms(state) == []

    dag = DAG("run_exports", schedule=None, deadline=within(6))
    [alert] = DagSerialization.to_dict(dag)["dag"]["deadline"]
    assert alert["interval"]["__data__"] == timedelta(hours=deadlines.RUN_HOURS).total_seconds()
    assert alert["callback"]["__data__"]["path"] == f"{missed.__module__}.{missed.__name__}"
    with session() as state:
        waiting = requests.ask_export(state, person).request_id
        state.execute(update(PrivacyRequest).values(begins_at=now() - timedelta(hours=7)))
    missed({"dag_run": {"dag_id": "run_exports"}})
    with session() as state:
        assert [(alarm.code, alarm.subject) for alarm in open_alarms(state)] == [("CH956", "run_exports")]
    deadlines.watch()
    with session() as state:
        assert open_alarms(state), "it stays while somebody waits"
        requests.cancel(state, waiting)
        state.execute(update(OperatorAlarm).values(seen_at=now() - timedelta(hours=7)))
    deadlines.watch()
    with session(read_only=True) as state:
        assert open_alarms(state) == []
