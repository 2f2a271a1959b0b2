"""The audit trail: many write it at once, it has neither fork nor gap, and what is done to it is found and located."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from sqlalchemy import create_engine, make_url, text

from charthouse.errors import StateError
from charthouse.linking.keys import ensure_key
from charthouse.linking.people import create_person
from charthouse.privacy import audit_trail
from charthouse.settings import get_settings
from charthouse.state import anchors, audit, migrate, schema, session
from charthouse.state.engine import engine
from tests.conftest import ROOT, Installation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POSTGRES = os.environ.get("CHARTHOUSE_TEST_POSTGRES_URL", "")

WRITER = """
import sys
from charthouse.state import audit, session
from charthouse.linking.people import create_person
print("ready", flush=True)
sys.stdin.readline()
for turn in range(int(sys.argv[1])):
    try:
        with session() as state:
            person = create_person(state)
            try:
                with state.begin_nested():
                    audit.record(state, "sync", "lost.savepoint", "person", person.person_key)
                    raise KeyError
            except KeyError:
                pass
            with state.begin_nested():
                audit.record(state, "sync", "kept.savepoint", "person", person.person_key)
            if turn % 5 == 4:
                raise ValueError
    except ValueError:
        pass
    print(turn, flush=True)
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """A home with a migrated state database, on SQLite and on PostgreSQL."""
    env = {}
    monkeypatch.setenv("CHARTHOUSE_HOME", str(tmp_path))
    if request.param == "postgres":
        name = f"test_{secrets.token_hex(6)}"
        made = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
        with made.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        url = make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={name}"})
        env["CHARTHOUSE_STATE_URL"] = url.render_as_string(hide_password=False)
        monkeypatch.setenv("CHARTHOUSE_STATE_URL", env["CHARTHOUSE_STATE_URL"])
    get_settings.cache_clear()
    ensure_key()
    migrate()
    yield Installation(tmp_path, env)
    engine().dispose()
    get_settings.cache_clear()
    if request.param == "postgres":
        with made.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        made.dispose()


def sql(*statements: str) -> None:
    """What somebody does who writes past this software."""
    with engine().begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def twenty_events() -> None:
    """Twenty events about ten people."""
    for _ in range(10):
        with session() as state:
            person = create_person(state)
            audit.record(state, "person", "export.asked", "person", person.person_key, {"parts": 2})


@pytest.mark.crash
def test_many_processes_write_one_chain_and_a_killed_one_breaks_nothing(house: Installation) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(turns)],
            cwd=ROOT,
            env=house.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for turns in (40, 40, 40, 100_000, 100_000)
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running[3:]:
        while process.stdout.readline() != "7\n":
            pass
        process.send_signal(signal.SIGKILL)
    for process in running[:3]:
        process.communicate(timeout=100)
        assert process.returncode == 0
    for process in running[3:]:
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    verdict = audit_trail.verify()
    assert verdict.holds, verdict.breaks
    assert verdict.end[0] == verdict.events >= 3 * 32 * 2 + 2 * 7 * 2
    told = list(audit_trail.events())
    assert {event["action"] for event in told} == {"person.created", "kept.savepoint"}
    with engine().connect() as connection:  # neither an event without its deed nor a deed without its event
        assert connection.execute(text("SELECT count(*) FROM person")).scalar() == len(told) / 2
    assert verdict.events - verdict.anchored <= 2, "a kill between a commit and its anchor costs that anchor alone"


def test_savepoints_take_their_own_events_and_none_is_left_open(house: Installation) -> None:
    with session() as state:
        audit.record(state, "sync", "first", "vault", "vault")
        with state.begin_nested():
            with state.begin_nested():
                audit.record(state, "sync", "second", "vault", "vault")
            with suppress(KeyError), state.begin_nested():
                audit.record(state, "sync", "lost", "vault", "vault")
                with state.begin_nested():
                    audit.record(state, "sync", "lost", "vault", "vault")
                raise KeyError
            audit.record(state, "sync", "third", "vault", "vault")
    with pytest.raises(RuntimeError, match="savepoint"), session() as state:
        state.begin_nested()
    with pytest.raises(StateError, match="CH605"), session(read_only=True) as state:
        audit.record(state, "sync", "unwritten", "vault", "vault")
    assert [event["action"] for event in audit_trail.events()] == ["first", "second", "third"]
    assert audit_trail.verify().holds


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("UPDATE audit_event SET actor = 'sync' WHERE id = 7", "event 7: changed"),
        ("UPDATE audit_event SET detail = '{\"parts\": 1}' WHERE id = 20", "event 20: changed"),
        ("UPDATE audit_event SET digest = previous WHERE id = 7", "event 7: changed"),
        ("UPDATE audit_event SET subject_id = 'another' WHERE id = 7", "event 7: subject changed"),
        ("UPDATE audit_event SET subject_id = NULL WHERE id = 7", "event 7: subject changed"),
        ("DELETE FROM audit_event WHERE id IN (7, 8)", "events 7 to 8: taken out"),
        ("DELETE FROM audit_event WHERE id = 1", "event 1: taken out"),
        ("DELETE FROM audit_event WHERE id > 18", "events 19 to 20: cut off"),
        ("DELETE FROM audit_event", "events 1 to 20: cut off"),
        ("DELETE FROM audit_event WHERE id = 7; UPDATE audit_event SET id = -id WHERE id > 7;"
         "UPDATE audit_event SET id = -id - 1 WHERE id < 0", "event 7: taken out"),
        ("UPDATE audit_event SET id = 99 WHERE id = 7; UPDATE audit_event SET id = 7 WHERE id = 8;"
         "UPDATE audit_event SET id = 8 WHERE id = 99", "event 7: moved"),
        ("INSERT INTO audit_event SELECT 21, at, actor, action, subject_kind, subject_id, detail, salt, subject_digest,"
         " previous, digest FROM audit_event WHERE id = 7", "event 21: put in"),
        ("UPDATE audit_event SET id = -id WHERE id > 7; UPDATE audit_event SET id = 1 - id WHERE id < 0;"
         "INSERT INTO audit_event SELECT 8, at, 'sync', action, subject_kind, subject_id, detail, salt, subject_digest,"
         " digest, salt FROM audit_event WHERE id = 7", "event 8: put in"),
    ],
)  # fmt: skip
def test_what_is_done_to_the_trail_is_found_and_located(house: Installation, deed: str, said: str) -> None:
    twenty_events()
    assert audit_trail.verify().holds
    sql(*deed.split(";"))
    verdict = audit_trail.verify()
    assert said in [str(found) for found in verdict.breaks], verdict.breaks
    assert len(verdict.breaks) == 1, verdict.breaks


def test_a_chain_made_anew_is_found_by_its_anchors_and_by_an_end_noted_elsewhere(house: Installation) -> None:
    twenty_events()
    end = audit_trail.verify().end
    with session() as state:  # somebody who knows how the chain is made, and cuts its end before
        state.execute(text("DELETE FROM audit_event WHERE id > 15"))
        audit.record(state, "operator", "harmless", "vault", "vault")
    [found] = audit_trail.verify().breaks[:1]
    assert (found.fault, found.last) == ("made anew", 16)
    done = house.run("audit", "verify")
    assert (done.returncode, done.stderr[:6]) == (1, "CH950 ")
    assert "made anew" in done.stdout

    get_settings().audit_anchors.unlink()
    assert audit_trail.verify().holds, "nothing but the anchors knows"
    done = house.run("audit", "verify", "--head", f"{end[0]}:{end[1]}", "--json")
    assert json.loads(done.stdout)["breaks"] == [{"fault": "cut off", "first": 17, "last": 20}]


def test_events_of_before_are_chained_and_the_way_back_keeps_them(house: Installation) -> None:
    twenty_events()
    config = schema._config()
    with engine().begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
    sql("DELETE FROM audit_event WHERE id IN (3, 11)")  # a gap, as PostgreSQL's counter leaves after a rollback
    before = "SELECT at, actor, action, subject_kind, subject_id FROM audit_event ORDER BY id"
    with engine().connect() as connection:
        events = connection.execute(text(before)).all()
    assert len(events) == 18
    migrate()
    get_settings().audit_anchors.unlink()
    with engine().connect() as connection:
        assert connection.execute(text(before)).all() == events
    twenty_events()
    verdict = audit_trail.verify()
    assert (verdict.holds, verdict.end[0]) == (True, 38)
    sql("UPDATE audit_event SET action = 'harmless' WHERE id = 9")
    assert [str(found) for found in audit_trail.verify().breaks] == ["event 9: changed"]


def test_what_an_erasure_emptied_still_holds(house: Installation) -> None:
    twenty_events()
    sql("UPDATE audit_event SET subject_id = NULL, salt = NULL WHERE id IN (3, 4, 20)")
    assert audit_trail.verify().holds


def test_a_read_of_somebodys_data_is_an_event_and_its_query_is_not_kept(house: Installation) -> None:
    assert house.run("init").returncode == 0
    with session() as state:
        person = create_person(state).person_key
    query = f"SELECT 'canary' FROM lab_results WHERE person_key = '{person.upper()}'"
    house.run("sql", query)
    house.run("sql", "-", fed=query)
    house.run("shell", fed=f"{query};")
    house.run("sql", "SELECT count(*) FROM lab_results WHERE person_key = '00000000-0000-0000-0000-000000000000'")
    assert house.run("people", "show", person).returncode == 0
    done = house.run("audit", "show", "--person", person, "--json", "--since", f"{datetime.now(UTC):%Y-%m-%d}")
    told: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["action"] for event in told] == [
        "person.created", "records.read", "records.read", "records.read", "person.read", "audit.read",
    ]  # fmt: skip
    assert {(event["subject_kind"], event["subject_id"]) for event in told} == {("person", person)}
    assert "canary" not in done.stdout
    done = house.run("audit", "show", "--action", "records", "--json")
    assert len(done.stdout.splitlines()) == 3
    assert audit_trail.verify().holds


def test_an_anchor_costs_little_and_their_file_stays_small(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "audit.anchors"
    digest = "0" * 64
    began = time.perf_counter()
    for number in range(1, 10_001):
        anchors.note(file, number, digest)
    assert (time.perf_counter() - began) / 10_000 < 0.001
    kept = anchors.read(file)
    assert kept.last == 10_000
    assert len(kept.digests) <= 2 * anchors.MOST
    file.write_bytes(file.read_bytes() + b"\0\0\0 torn")
    assert (anchors.read(file).last, anchors.read(file).unreadable) == (10_000, 1)
