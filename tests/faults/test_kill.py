"""The night, killed for real (SIGKILL) in each of its stages, run again, and held against one that nobody disturbed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from charthouse.lake.session import open_records
from charthouse.settings import Settings
from transforms.tables import tables

if TYPE_CHECKING:
    from pathlib import Path

Tables = dict[str, list[str]]

NIGHT = ("nightly", "--people", "4", "--seed", "11")
POINTS = (
    "fetch.query",
    "check.link",
    "store.appended",
    "build.table",
    "audit.written",
    "publish.committed",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, new_installation: Any) -> Path:
    """A home in which everybody is linked and nothing is fetched: its night was killed before it planned a batch."""
    installation = new_installation(tmp_path_factory.mktemp("prepared") / "home")
    assert_killed(installation.run(*NIGHT, env={"CHARTHOUSE_CRASH_AT": "plan.links"}))
    return installation.home


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory, new_installation: Any) -> Tables:
    """The tables of the prepared home after a whole night: nothing but its plan was ever killed."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(prepared, home)
    done = new_installation(home).run(*NIGHT)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = tables_of(home)
    assert all(rows.values()), {name: len(listed) for name, listed in rows.items()}
    return rows


@pytest.mark.crash
def test_a_night_that_is_killed_in_every_stage_goes_on_where_it_was(
    prepared: Path, tmp_path: Path, new_installation: Any, undisturbed: Tables
) -> None:
    """One night: what a kill leaves is what the next try goes on from, until that is killed a stage further on."""
    shutil.copytree(prepared, tmp_path / "home")
    installation = new_installation(tmp_path / "home")
    for point in POINTS:
        assert_killed(installation.run(*NIGHT, env={"CHARTHOUSE_CRASH_AT": point}))

    again = installation.run(*NIGHT)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"resumed {len(POINTS) + 1} times" in again.stdout
    assert tables_of(installation.home) == undisturbed
    for folder in ("landing", "staging"):
        assert not [file for file in (installation.home / folder).rglob("*") if file.is_file()]


@pytest.mark.crash
def test_whoever_a_killed_night_had_started_is_gone_with_it(
    prepared: Path, tmp_path: Path, new_installation: Any
) -> None:
    """They would go on asking the provider, and write, beside the night that is begun in its place."""
    shutil.copytree(prepared, tmp_path / "home")
    environment = new_installation(tmp_path / "home").environment()
    night = psutil.Popen(
        [sys.executable, "-m", "charthouse", *NIGHT], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    started: list[psutil.Process] = []
    for _ in range(600):
        started = night.children(recursive=True)
        lines = [" ".join(each.cmdline()) for each in started]
        if any("dags test" in line and "tether" not in line for line in lines):
            break
        assert night.poll() is None
        time.sleep(0.1)
    else:
        pytest.fail("no DAG was begun")
    assert any("sandbox serve" in line for line in lines)
    night.kill()
    night.wait()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert [each.pid for each in alive] == []


def assert_killed(done: subprocess.CompletedProcess[str]) -> None:
    """The night said in one sentence that its run has not come to an end."""
    assert done.returncode == 1, done.stdout
    assert "the run is running" in done.stderr
    assert "Traceback" not in done.stderr


def tables_of(home: Path) -> Tables:
    """All rows of all tables, keys included: homes that were copied from one have the same people and links."""
    settings = Settings(home=home)
    with open_records(read_only=True, settings=settings) as connection:
        return {
            table: sorted(map(repr, connection.execute(f"SELECT * FROM records.{table}").fetchall()))
            for table in (declared.name for declared in tables())
        }
