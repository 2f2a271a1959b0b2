"""Nights that are past, and copies in the clear: one night each, whole or not there, and nobody who was erased."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from charthouse.errors import LakeError, StateError
from charthouse.lake.analyst import analyst
from charthouse.privacy.audit_trail import events
from charthouse.privacy.tables_copy import GIVEN_AWAY, copy_out
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.ledger import SyncRun
from tests.privacy.conftest import environment
from tests.privacy.scanner import where
from tests.privacy.test_canary import charthouse, signs_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.privacy.conftest import Home

COUNTS = "SELECT person_key, count(*) AS n FROM lab_results GROUP BY ALL"

LINKS = "SELECT link_id, sync_status, last_synced_at FROM links ORDER BY ALL"


def refused(home: Home, *arguments: str, **settings: str) -> str:
    command = [sys.executable, "-m", "charthouse", *arguments]
    done = subprocess.run(command, env=environment(home) | settings, capture_output=True, text=True)
    assert done.returncode != 0, done.stdout
    return done.stderr


def counts(as_of: str | None = None) -> dict[str, int]:
    with analyst(as_of) as connection:
        return dict(connection.execute(COUNTS).fetchall())


def counts_in(copy: Path) -> dict[str, int]:
    with duckdb.connect(str(copy / "charthouse.duckdb"), read_only=True) as plain:
        there: list[tuple[Any, ...]] = plain.execute(COUNTS).fetchall()
        assert plain.execute(f"FROM ({COUNTS}) ORDER BY 1").fetchall() == sorted(there)
        parquet = COUNTS.replace("lab_results", f"'{copy / 'tables' / 'lab_results.parquet'}'")
        assert sorted(plain.execute(parquet).fetchall()) == sorted(there)
        [(columns, said)] = plain.execute(
            "SELECT count(*), count(comment) FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
        assert columns == said > 1000
        for (view,) in plain.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
            plain.execute(f'FROM "{view}"').fetchall()
    return dict(there)


def test_past_nights_and_copies_show_one_night_and_nobody_who_was_erased(home: Home, tmp_path: Path) -> None:
    with session() as state:
        [first] = [run.id for run in state.query(SyncRun)]
    between = datetime.now(UTC).isoformat()
    before = counts()
    with analyst() as connection:
        linked = connection.execute(LINKS).fetchall()
    for clinic in home.clinics.values():
        clinic.later = True
    home.night()
    home.night()  # which brings nothing
    with session() as state:
        second, third = [run.id for run in state.query(SyncRun).order_by(SyncRun.started_at) if run.id != first]
    after = counts()
    assert sum(after.values()) > sum(before.values()) > 0
    assert counts(first) == counts(between) == before
    assert counts(second) == counts(third) == counts(f"{datetime.now(UTC):%Y-%m-%d}") == after
    asked = json.loads(charthouse(home, "sql", "--json", "--as-of", first, "SELECT count(*) AS n FROM lab_results"))
    assert asked == [{"n": sum(before.values())}]
    with analyst(first) as connection:  # what is told at the end of a night is of that night, too
        assert connection.execute(LINKS).fetchall() == linked
    assert "CH512" in refused(home, "shell", "--as-of=last week")
    for night, code in (("2020-02-02", "CH511"), ("20200202T020202Z-abcd", "CH512"), ("", "CH512")):
        with pytest.raises(LakeError, match=code):
            counts(night)

    copy = tmp_path / "copies" / "today"
    assert GIVEN_AWAY in refused(home, "export-tables", str(copy))
    for place in (home.path / "copy", home.path.parent):
        with pytest.raises(LakeError, match="CH510"):
            copy_out(place)
    refused(home, "export-tables", str(copy), "--yes", CHARTHOUSE_CRASH_AT="copy.written")
    assert not copy.exists()
    with pytest.raises(StateError, match="CH609"):
        copy_out(copy, settings=get_settings().model_copy(update={"state_url": f"sqlite:///{tmp_path / 'no-state'}"}))
    assert list(copy.parent.iterdir()) == []
    assert GIVEN_AWAY in charthouse(home, "export-tables", str(copy), "--yes")
    assert [file.name for file in copy.parent.iterdir()] == ["today"]
    assert counts_in(copy) == after
    with pytest.raises(LakeError, match="CH510"):
        copy_out(copy)
    past = copy_out(tmp_path / "past", first)
    assert counts_in(tmp_path / "past") == before
    assert past.rows["lab_results"] == sum(before.values())
    assert len(list(events(action="tables.exported"))) == 2

    printed = charthouse(home, "erase", home.people["B"], "--yes")
    assert "tables were exported 2 times" in printed
    for night in (first, second, between):
        with pytest.raises(LakeError, match="CH511"):
            counts(night)
        with pytest.raises(LakeError, match="CH511"):
            copy_out(tmp_path / "gone", night)
    assert where(home.path, signs_of(home, "B")) == set()
    copy_out(tmp_path / "without")
    assert counts_in(tmp_path / "without").keys() == after.keys() - {home.people["B"]}
    with duckdb.connect(str(tmp_path / "without" / "charthouse.duckdb"), read_only=True) as plain:
        for table, column in plain.execute("SELECT table_name, column_name FROM duckdb_columns()").fetchall():
            if column == "person_key":
                assert home.people["B"] not in plain.execute(f'SELECT list(person_key) FROM "{table}"').fetchall()
