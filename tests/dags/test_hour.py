"""A real run of the hour through Airflow: tokens are renewed, an end is told, and what waits is announced."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

from charthouse.clock import now
from charthouse.linking import credentials, links, people, providers
from charthouse.operating import airflow_process
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.notices import Notice
from charthouse.sync.plan import any_waiting, plan_run
from tests.linking.authorization_server import AuthorizationServer

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Issued:
    """What a person signed in with."""

    access_token, expires_at, scope, patient, refresh_expires_at = "access-canary", None, "patient/*.rs", None, None

    def __init__(self, name: str) -> None:
        self.refresh_token = f"{name}.0"


def signed_in(name: str) -> str:
    with session() as state:
        person = people.create_person(state)
        link = links.start_link(state, person.person_key, "portal", "direct", patient_id=f"patient-canary-{name}").id
        credentials.store_tokens(state, link, Issued(name))
    return link


def run_hour(home: Path) -> dict[str, str]:
    """One run of refresh_connections. How its tasks ended."""
    log = home / "logs" / "test.log"
    airflow_process.make_ready(log)
    with log.open("ab") as out:
        airflow_process.dag_test("refresh_connections", {}, out).wait()
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as database:
        rows = database.execute(
            "SELECT task_id, state FROM task_instance"
            " WHERE run_id = (SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1)"
        ).fetchall()
        rows += database.execute("SELECT 'run', state FROM dag_run ORDER BY id DESC LIMIT 1").fetchall()
        for table, column in (("xcom", "value"), ("rendered_task_instance_fields", "rendered_fields")):
            kept = database.execute(f"SELECT CAST({column} AS TEXT) FROM {table}").fetchall()
            assert "canary" not in str(kept)
    assert "canary" not in log.read_text()
    return dict(rows)


def test_an_hour_renews_tells_and_announces(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = home / "clock"
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(clock))
    get_settings.cache_clear()
    with AuthorizationServer() as server:
        with session() as state:
            providers.register_provider(state, slug="portal", name="Portal", fhir_base_url=server.base)
        alive, over = signed_in("alive"), signed_in("over")
        server.ended["over"] = (400, "invalid_grant")
        clock.write_text("7200")
        assert any_waiting()
        assert run_hour(home) == {
            **dict.fromkeys(
                ("plan", "refresh", "match", "watch", "remove_from_vault", "remove_from_records"), "success"
            ),
            **dict.fromkeys(("announce", "finish", "run"), "success"),
        }
        assert server.asked == {"alive": 1, "over": 1}
        with session(read_only=True) as state:
            assert links.count_by_status(state) == {"pending": 1, "expired": 1}
            assert [(notice.link_id, notice.kind) for notice in state.query(Notice)] == [(over, "expired")]

        # A run for those that wait takes them, and then none do.
        plan_run([], airflow_run_id="announced", waiting=True)
        assert not any_waiting()
        with session() as state:
            links.set_sync_statuses(state, {alive: "running"})
            links.set_sync_statuses(state, {alive: "failed"})
        hour = run_hour(home)
        assert (hour["announce"], hour["finish"], hour["run"]) == ("skipped", "success", "success")
        with session() as state:
            links.request_sync(state, alive)
        assert any_waiting()
        assert now() > links_made(alive) + timedelta(hours=2)


def links_made(link: str) -> object:
    with session(read_only=True) as state:
        return links.get_link(state, link).created_at


def test_the_hour_is_red_where_a_step_is(home: Path) -> None:
    """Here the key is lost; the deadlines are watched all the same."""
    with AuthorizationServer() as server:
        with session() as state:
            providers.register_provider(state, slug="portal", name="Portal", fhir_base_url=server.base)
        link = signed_in("g")
        with session() as state:
            state.get(credentials.Credential, link).next_refresh_at = None
        get_settings().credentials_key.unlink()
        hour = run_hour(home)
    assert (hour["refresh"], hour["watch"], hour["run"]) == ("failed", "success", "failed")


def test_the_keys_may_come_from_a_connection(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Airflow's own database: read by the tasks, and by an operator at the command line."""
    file = get_settings().credentials_key
    key = file.read_text().strip()
    with AuthorizationServer() as server:
        with session() as state:
            providers.register_provider(state, slug="portal", name="Portal", fhir_base_url=server.base)
        link = signed_in("g")
        with session() as state:
            state.get(credentials.Credential, link).next_refresh_at = None
        log = home / "logs" / "test.log"
        airflow_process.make_ready(log)
        made = ["connections", "add", "charthouse_keys", "--conn-type", "generic", "--conn-password", key]
        airflow_process.run(made, log)
        file.unlink()
        monkeypatch.setenv("CHARTHOUSE_KEY_PROVIDER", "plugins.sealing_keys:of_connection")
        get_settings.cache_clear()
        hour = run_hour(home)
    assert (hour["refresh"], hour["run"]) == ("success", "success")
    assert server.asked == {"g": 1}
    assert key not in log.read_text()
    shown = subprocess.run(
        [sys.executable, "-m", "charthouse", "keys", "status"],
        env=airflow_process.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "credential.sealed_refresh" in shown.stdout, shown.stderr
    assert key not in shown.stdout + shown.stderr
