"""A project of dbt-duckdb on the exported tables: three models and the tests of the source, run by dbt itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from filelock import FileLock

from charthouse.lake.session import open_records
from charthouse.privacy.tables_copy import copy_out
from transforms.tables import published, tables

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
PEOPLE = 3


@pytest.fixture(scope="session")
def dbt() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs dbt, in an environment of its own that is built once from a lock of its own."""
    lock = HERE / "requirements.txt"
    environment = Path(sys.prefix) / f"dbt-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    uv = [str(Path(sys.prefix) / "bin" / "uv"), "--quiet"]
    with FileLock(f"{environment}.lock"):
        if not (environment / "bin" / "dbt").exists():
            python = str(environment / "bin" / "python")
            install = [*uv, "pip", "install", "--python", python, "--require-hashes", "-r", str(lock)]
            for command in ([*uv, "venv", "--clear", "--python", sys.executable, str(environment)], install):
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    shutil.rmtree(environment, ignore_errors=True)
                    pytest.skip(f"dbt cannot be installed: {done.stderr.strip().splitlines()[-1]}")

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        command = [str(environment / "bin" / "dbt"), "--quiet", *arguments]
        return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)

    return run


def test_models_are_built_on_the_source_and_its_tests_hold_or_say_what_does_not(
    home: Path, tmp_path: Path, dbt: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with open_records() as connection:
        people = f"SELECT 'p' || range AS person_key FROM range({PEOPLE})"
        connection.execute(f"INSERT INTO records.built_people BY NAME {people}")
        for table in tables():
            row = "'r-' || person_key AS row_key, 'l' AS link_id, false AS is_entered_in_error, [] AS remarks, *"
            connection.execute(f"INSERT INTO records.{table.name} BY NAME SELECT {row} FROM ({people})")
    copy_out(tmp_path / "copy")
    project = tmp_path / "project"
    shutil.copytree(HERE / "project", project)
    shutil.copy(tmp_path / "copy" / "sources.yml", project / "models")
    places = {"MINE": str(tmp_path / "mine.duckdb"), "TABLES": str(tmp_path / "copy" / "charthouse.duckdb")}
    there = ["--project-dir", str(project), "--profiles-dir", str(project)]

    done = dbt("build", *there, **places)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {each["name"] for each in _said(project, "manifest")["sources"].values()} == {
        each.name for each in published()
    }
    tested = [each["unique_id"] for each in _said(project, "run_results")["results"]]
    assert len([name for name in tested if name.startswith("test.")]) > 3 * len(tables())
    with duckdb.connect(places["MINE"], read_only=True) as mine:
        assert mine.execute("SELECT person_key, results FROM people ORDER BY 1").fetchall() == [
            (f"p{each}", 1) for each in range(PEOPLE)
        ]
        assert mine.execute("SELECT count(*) FROM drugs").fetchone() == (0,)

    with duckdb.connect(places["TABLES"]) as tampered:
        tampered.execute("INSERT INTO vitals FROM vitals WHERE person_key = 'p0'")
    done = dbt("test", "--select", "source:charthouse.vitals", *there, **places)
    failed = [each["unique_id"] for each in _said(project, "run_results")["results"] if each["status"] == "fail"]
    assert (done.returncode, [name.split(".")[2] for name in failed]) == (
        1,
        ["source_unique_charthouse_vitals_row_key"],
    )


def _said(project: Path, what: str) -> dict[str, Any]:
    """A file that dbt leaves behind."""
    return json.loads((project / "target" / f"{what}.json").read_text())
