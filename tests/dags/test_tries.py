"""A real run of the DAG: what no second try can change is tried once, what may pass is tried again."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

from charthouse.errors import CATALOGUE, catalogue
from charthouse.operating import airflow_process

if TYPE_CHECKING:
    from pathlib import Path

AGAIN = {"CH403", "CH501", "CH502", "CH505", "CH601", "CH605", "CH608"}
"""What a task may raise and a second try may change: a server that starts, a lock that goes."""


STEPS = """
from datetime import datetime
from airflow.sdk import dag
from plugins.steps import step


@dag(schedule=None, start_date=datetime(2026, 1, 1), default_args={"retries": 1, "retry_delay": 0})
def two_steps():
    @step()
    def once(run_id=None):
        from charthouse.errors import StateError

        raise StateError("CH602", where=run_id)

    @step()
    def again():
        from charthouse.errors import StateError

        raise StateError("CH605")

    once(), again()


two_steps()
"""


def test_a_final_error_is_tried_once_and_any_other_again(home: Path, tmp_path: Path) -> None:
    log = home / "logs" / "test.log"
    airflow_process.make_ready(log)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "two_steps.py").write_text(STEPS)
    env = airflow_process.environment() | {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}
    subprocess.run([airflow_process.AIRFLOW, "dags", "test", "two_steps"], env=env, check=False, capture_output=True)
    assert tries(home) == {"once": ("failed", 1), "again": ("failed", 2)}


def test_a_night_that_cannot_begin_ends_at_once_and_says_why(home: Path) -> None:
    """A provider that nobody knows."""
    log = home / "logs" / "test.log"
    airflow_process.make_ready(log)
    with log.open("ab") as out:
        airflow_process.dag_test("sync_records", {"providers": ["elsewhere"]}, out).wait()
    assert tries(home) == {
        "plan": ("failed", 1),
        "batches.fetch": ("upstream_failed", 0),
        "batches.check": ("upstream_failed", 0),
        "batches.store": ("upstream_failed", 0),
        "plan_build": ("failed", 1),
        "build": ("upstream_failed", 0),
        "audit": ("failed", 1),
        "publish": ("upstream_failed", 0),
        "finish": ("failed", 1),
    }
    text = log.read_text()
    assert "CH602 There is no such person, provider or link: provider elsewhere" in text
    assert "CH009" in text


def test_every_error_that_is_final_is_one_that_a_task_can_raise() -> None:
    final = {code for code, entry in CATALOGUE.items() if entry.final}
    assert {"CH001", "CH009", "CH118", "CH122", "CH402", "CH503", "CH504", "CH602", "CH603"} <= final
    assert not final & AGAIN
    assert all(not entry.final for code, entry in catalogue().items() if code.startswith(("CH2", "CH3")))


def tries(home: Path) -> dict[str, tuple[str, int]]:
    """Each task's last state, and how often it was tried."""
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as database:
        rows = database.execute("SELECT task_id, state, try_number FROM task_instance").fetchall()
    return {task: (state, number) for task, state, number in rows}
