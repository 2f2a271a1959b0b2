"""Every DAG, held to the rules of the house: it parses fast, is owned, documented, tried again, and says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(set((ROOT / "dags").glob("*.py")) - {ROOT / "dags" / "__init__.py"})

_PARSE = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag

folder, before = sys.argv[1:]
bag = BundleDagBag(dag_folder=folder, bundle_path=Path(folder), bundle_name="dags-folder")
heavy = {"pandas", "duckdb", "great_expectations", "pyarrow", "requests", "charthouse", "transforms"}

def said(task, name):
    # A mapped task keeps what it was declared with apart.
    return getattr(task, name) if hasattr(task, name) else task.partial_kwargs.get(name)

def scheduled(schedule):
    # A timetable that assets trigger, too, holds one of its own.
    timetable = getattr(schedule, "timetable", None)
    if timetable is None:
        return str(schedule)
    awaited = getattr(schedule.asset_condition, "objects", [schedule.asset_condition])
    return " or ".join([timetable.expression, *(asset.name for asset in awaited)])

print(json.dumps({
    "errors": bag.import_errors,
    "heavy": sorted(heavy & set(sys.modules) - set(json.loads(before))),
    "dags": {
        name: {
            "doc": dag.doc_md, "tags": sorted(dag.tags), "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
            "schedule": scheduled(dag.schedule), "dagrun_timeout": dag.dagrun_timeout is not None,
            "tasks": {
                task.task_id: {
                    "owner": task.owner, "retries": task.retries, "timeout": task.execution_timeout is not None,
                    "quiet": said(task, "show_return_value_in_logs") is False,
                    "doc": bool(said(task, "python_callable").__doc__),
                } for task in dag.tasks
            },
        } for name, dag in bag.dags.items()
    },
}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The DAG folder as Airflow's own processor reads it, in a process of its own."""
    import json

    home = tmp_path_factory.mktemp("airflow")
    env = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "PYTHONPATH": str(ROOT),
    }
    before = subprocess.run(
        [sys.executable, "-c", "import airflow.dag_processing.dagbag, json, sys; print(json.dumps(list(sys.modules)))"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()[-1]
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, str(ROOT / "dags"), before], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_file_parses_without_heavy_imports(parsed: dict) -> None:
    assert parsed["errors"] == {}
    assert parsed["heavy"] == []


def test_the_night_is_scheduled_as_promised(parsed: dict) -> None:
    night = parsed["dags"]["sync_records"]
    assert night["schedule"] == "0 2 * * * or waiting_links"
    assert night["max_active_runs"] == 1
    assert not night["catchup"]


def test_the_hour_is_scheduled_as_promised(parsed: dict) -> None:
    hour = parsed["dags"]["refresh_connections"]
    assert hour["schedule"] == "0 * * * *"
    assert hour["max_active_runs"] == 1
    assert "is red" in hour["doc"]


def test_every_dag_is_documented_tagged_and_bounded(parsed: dict) -> None:
    for dag in parsed["dags"].values():
        assert dag["doc"]
        assert dag["tags"]
        assert dag["dagrun_timeout"]


def test_every_task_is_owned_tried_again_bounded_and_quiet(parsed: dict) -> None:
    for dag in parsed["dags"].values():
        for name, task in dag["tasks"].items():
            assert task["owner"] == "charthouse", name
            assert task["retries"] >= 1, name
            assert task["timeout"], name
            assert task["quiet"], name
            assert task["doc"], name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_dag_file_is_a_timetable(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 120
    assert "from airflow.sdk import" in text
    assert "from airflow.models" not in text
    assert "@task(" not in text, "@step() knows which errors are final"
