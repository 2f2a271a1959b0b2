"""The night, killed for real (SIGKILL) in each of its stages, run again, and held against one that nobody disturbed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TABLES = (
    "allergies",
    "conditions",
    "lab_results",
    "medications",
    "pregnancy",
    "procedures",
    "social_history",
    "vaccines",
    "visits",
    "vitals",
)
NIGHT = ("nightly", "--people", "4", "--seed", "11")
POINTS = (
    "fetch.page",
    "fetch.query",
    "check.link",
    "store.appended",
    "store.accounted",
    "build.table",
    "audit.written",
    "publish.committed",
    "finish.begun",
)


def tables_of(installation: Any) -> dict[str, list[str]]:
    """All rows of all tables, without what differs between any two homes: random keys and the time of arrival."""
    return {
        table: sorted(json.dumps(_same(row)) for row in installation.rows(f"select * from {table}")) for table in TABLES
    }


def _same(row: dict[str, Any]) -> dict[str, Any]:
    own = f"{row['link_id']}/"
    kept = {name: value for name, value in row.items() if name not in ("person_key", "link_id", "last_updated")}
    return {
        name: value.removeprefix(own) if isinstance(value, str) and name.endswith("_key") else value
        for name, value in kept.items()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, new_installation: Any) -> dict[str, list[str]]:
    """The tables of a night that nobody disturbed."""
    installation = new_installation(tmp_path_factory.mktemp("undisturbed") / "home")
    done = installation.run(*NIGHT)
    assert done.returncode == 0, done.stdout + done.stderr
    tables = tables_of(installation)
    assert all(tables.values()), {name: len(rows) for name, rows in tables.items()}
    return tables


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_night_goes_on_where_it_was(
    point: str, tmp_path: Path, new_installation: Any, undisturbed: dict[str, list[str]]
) -> None:
    installation = new_installation(tmp_path / "home")
    killed = installation.run(*NIGHT, env={"CHARTHOUSE_CRASH_AT": point})
    assert killed.returncode == 1
    assert "the run is running" in killed.stderr
    assert "Traceback" not in killed.stderr

    again = installation.run(*NIGHT)
    assert again.returncode == 0, again.stdout + again.stderr
    assert installation.json("status")["resumed"] == 1
    assert tables_of(installation) == undisturbed
    assert not list((installation.home / "landing").glob("*/*"))
    assert not list((installation.home / "staging").glob("*"))
