"""A change of the tables that would break somebody's query is announced by a version, or is not made."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from transforms.tables import Column, Relation, TableError, catalogue, read_sql_view
from transforms.tables import __main__ as generator
from transforms.tables.schema_lock import breaking, lock_text, refusals, schema_data

if TYPE_CHECKING:
    from pathlib import Path

WAS = Relation(
    "scans",
    "Scans",
    "What a scanner saw.",
    (
        Column("scan_key", "VARCHAR", "The scan."),
        Column("seen_at", "TIMESTAMPTZ", "When."),
        Column("parts", "STRUCT(code VARCHAR, sizes STRUCT(cm DOUBLE)[])[]", "What was seen."),
    ),
)
KEY, WHEN, PARTS = WAS.columns


def columns(*changed: Column) -> Relation:
    return replace(WAS, columns=changed)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([], "scans is gone"),
        ([columns(KEY, PARTS)], "scans.seen_at is gone"),
        ([columns(KEY, replace(WHEN, name="at"), PARTS)], "scans.seen_at is gone"),
        ([columns(KEY, replace(WHEN, sql_type="DATE"), PARTS)], "scans.seen_at was TIMESTAMPTZ, now DATE"),
        ([columns(replace(KEY, description="The scanner."), WHEN, PARTS)], "scans.scan_key is a key"),
        ([columns(KEY, WHEN, replace(PARTS, sql_type="STRUCT(code VARCHAR)[]"))], "scans.parts was"),
        (
            [columns(KEY, WHEN, replace(PARTS, sql_type="STRUCT(code VARCHAR, sizes STRUCT(cm FLOAT)[])[]"))],
            "scans.parts was",
        ),
        ([WAS, replace(WAS, name="others")], None),
        ([columns(PARTS, Column("new", "INTEGER", "New."), WHEN, KEY)], None),
        ([columns(KEY, replace(WHEN, description="In other words."), PARTS)], None),
        ([columns(KEY, replace(WHEN, sql_type="TIMESTAMP WITH TIME ZONE"), PARTS)], None),
        (
            [columns(KEY, WHEN, replace(PARTS, sql_type="STRUCT(code TEXT, sizes STRUCT(mm INT, cm DOUBLE)[])[]"))],
            None,
        ),
    ],
)
def test_what_breaks_a_query_needs_a_version_and_nothing_else_does(now: list[Relation], said: str | None) -> None:
    locked = json.loads(lock_text(schema_data([WAS], version=1)))
    changes = breaking(locked, schema_data(now, version=1))
    assert len(changes) == (said is not None)
    assert all(change.startswith(said or "") for change in changes)
    assert refusals(locked, schema_data(now, version=1)) == changes
    assert refusals(locked, schema_data(now, version=2)) == []


def test_what_names_a_row_is_locked() -> None:
    class Named(Relation):
        @property
        def key(self) -> tuple[str, ...]:
            return ("scan_key", "seen_at")

    named = Named(WAS.name, WAS.title, WAS.description, WAS.columns)
    assert breaking(schema_data([WAS]), schema_data([named])) == [
        "scans: a row was named by (), now by (scan_key, seen_at)"
    ]


def test_everything_generated_is_as_declared(capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["--check"]) == 0, capsys.readouterr().err


def test_the_generator_does_not_write_over_a_lock_that_a_change_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock.json"
    promised: dict[str, Any] = schema_data()
    promised["tables"]["vitals"]["columns"]["promised"] = "DOUBLE"
    lock.write_text(json.dumps(promised))
    monkeypatch.setattr(generator, "LOCK", lock)
    for arguments in ([], ["--check"]):
        assert generator.main(arguments) == 1
        assert "breaks queries: vitals.promised is gone" in capsys.readouterr().err
    assert json.loads(lock.read_text()) == promised


def test_a_column_without_an_entry_in_the_dictionary_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = read_sql_view("silent", "-- Words.\n--\n-- told VARCHAR: Something.\n-- untold VARCHAR: \nSELECT 1, 2")
    monkeypatch.setattr(catalogue, "sql_views", lambda: (silent,))
    with pytest.raises(TableError, match=r"silent: untold has no entry in the dictionary"):
        catalogue.published.__wrapped__()
