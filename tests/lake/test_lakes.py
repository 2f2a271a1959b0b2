"""The two lakes: what is appended, what counts as current, what a publication replaces, whose partition is whose."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from charthouse.errors import LakeError
from charthouse.lake import records, vault
from charthouse.lake.buckets import bucket_of
from charthouse.lake.session import attach, connect, open_records, open_vault
from charthouse.sync.check import RowWriter
from transforms.auditing import BROKEN
from transforms.checking.batches import CHECKED_SCHEMA, QUARANTINED_SCHEMA, CheckedRow
from transforms.tables import tables

if TYPE_CHECKING:
    from pathlib import Path

PERSON = "6f1c1a4e-0000-4000-8000-000000000001"


def checked(folder: Path, *versions: tuple[str, str, str]) -> tuple[Path, Path]:
    """A checked batch: (resource id, text, last_updated) for one person and link; nothing quarantined."""
    rows = [
        {
            "person_key": PERSON,
            "link_id": "link",
            "resource_type": "Immunization",
            "resource_id": name,
            "content_hash": hashlib.sha256(text.encode()).hexdigest(),
            "last_updated": updated,
            "remarks": [],
            "resource": text,
        }
        for name, text, updated in versions
    ]
    files = folder / f"{uuid.uuid4()}.parquet", folder / f"{uuid.uuid4()}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=CHECKED_SCHEMA), files[0])
    pq.write_table(pa.Table.from_pylist([], schema=QUARANTINED_SCHEMA), files[1])
    return files


def current(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return dict(connection.execute("SELECT resource_id, resource FROM vault.current_resources").fetchall())


def test_only_what_differs_from_the_current_version_is_appended(home: Path, tmp_path: Path) -> None:
    first, again, changed, back = (
        checked(tmp_path, ("a", text, "2024-01-01T00:00:00Z")) for text in ("one", "one", "two", "one")
    )
    with open_vault() as connection:
        assert vault.append(connection, *first, "r1").new == 1
        assert vault.append(connection, *again, "r1") == vault.Stored(new=0, unchanged=1, quarantined=0)
        assert vault.append(connection, *changed, "r2").new == 1
        assert current(connection) == {"a": "two"}
        assert vault.append(connection, *back, "r3").new == 1, "a text that comes back is a new version"
        assert current(connection) == {"a": "one"}
        assert vault.heads(connection)[PERSON] == vault.Head(stored_seq=3, versions=3)


@pytest.mark.parametrize(("number", "size"), [(9_000, 32_000), (2, 40_000_000)], ids=["many notes", "two scans"])
def test_a_batch_larger_than_the_memory_of_a_task_is_stored_and_compacted(
    home: Path, tmp_path: Path, number: int, size: int
) -> None:
    files = tmp_path / "checked.parquet", checked(tmp_path)[1]
    with RowWriter(files[0], CHECKED_SCHEMA) as writer:
        for name in map(str, range(number)):
            text = hashlib.sha256(name.encode()).hexdigest() * (size // 64)
            writer.write(CheckedRow(PERSON, "link", "DocumentReference", name, name, None, [], text))
    with open_vault() as connection:
        limit = connection.execute("SELECT current_setting('memory_limit')").fetchone()
        assert vault.append(connection, *files, "r1") == vault.Stored(new=number, unchanged=0, quarantined=0)
        vault.compact(connection)
        assert vault.append(connection, *files, "r1").new == 0
        assert connection.execute("SELECT current_setting('memory_limit')").fetchone() == limit
        assert connection.execute("SELECT count(DISTINCT resource_id) FROM vault.resources").fetchone() == (number,)


def test_two_versions_in_one_batch_are_both_kept_and_the_later_counts(home: Path, tmp_path: Path) -> None:
    batch = checked(tmp_path, ("a", "new", "2024-02-01T00:00:00Z"), ("a", "old", "2024-01-01T00:00:00Z"))
    with open_vault() as connection:
        assert vault.append(connection, *batch, "r1").new == 2
        assert current(connection) == {"a": "new"}


def test_a_quarantined_resource_is_kept_once_byte_for_byte(home: Path, tmp_path: Path) -> None:
    accepted, _ = checked(tmp_path)
    row = {
        "person_key": PERSON,
        "link_id": "link",
        "resource_type": None,
        "resource_id": None,
        "content_hash": "h",
        "last_updated": None,
        "rules": ["CH201"],
        "remarks": [],
        "resource": b"\xff{",
    }
    refused = tmp_path / "refused.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=QUARANTINED_SCHEMA), refused)
    with open_vault() as connection:
        assert [vault.append(connection, accepted, refused, run).quarantined for run in ("r1", "r2")] == [1, 0]
        assert connection.execute("SELECT rules, resource FROM vault.quarantine").fetchall() == [(["CH201"], b"\xff{")]


def test_people_fall_into_the_partitions_that_ducklake_gives_them(home: Path) -> None:
    people = [str(uuid.uuid4()) for _ in range(60)]
    with open_vault() as connection:
        connection.execute("INSERT INTO vault.resources (person_key) SELECT unnest(?)", [people])
        files: dict[str, set[int]] = {}
        rows = connection.execute("SELECT filename, person_key FROM vault.resources").fetchall()
    for file, person in rows:
        files.setdefault(file, set()).add(bucket_of(person, vault.BUCKETS))
    assert {len(buckets) for buckets in files.values()} == {1}
    assert len(files) == len({bucket_of(person, vault.BUCKETS) for person in people})


@pytest.fixture
def staged(tmp_path: Path) -> Any:
    """Stages vaccines of one person: `staged({row_key: code}, broken={row_key: rule})`; the dose of each is -1."""

    def stage(rows: dict[str, str], broken: dict[str, str] | None = None) -> tuple[Path, Path]:
        folder = tmp_path / str(uuid.uuid4())
        [table] = [table for table in tables() if table.name == "vaccines"]
        given = {"row_key": "row_key", "person_key": f"'{PERSON}'", "code": "code", "link_id": "'link'"}
        given |= {"dose": "-1", "dose_text": "'-1.0'", "remarks": "['from-the-build']"}
        chosen = ", ".join(
            given.get(column.name, "NULL") + f'::{column.sql_type} AS "{column.name}"' for column in table.columns
        )
        (folder / "vaccines").mkdir(parents=True)
        with connect() as connection:
            connection.execute(
                "CREATE TABLE given AS SELECT unnest(?) AS row_key, unnest(?) AS code", [[*rows], [*rows.values()]]
            )
            connection.execute(f"COPY (SELECT {chosen} FROM given) TO '{folder / 'vaccines' / 'g.parquet'}'")
        found = [("vaccines", key, rule) for key, rules in (broken or {}).items() for rule in rules.split()]
        columns = [pa.array([row[at] for row in found], pa.string()) for at in range(len(BROKEN))]
        pq.write_table(pa.table(columns, names=list(BROKEN)), folder / "broken.parquet")
        return folder, folder / "broken.parquet"

    return stage


def test_a_publication_replaces_a_persons_rows_and_notes_what_it_withholds(home: Path, staged: Any) -> None:
    with open_records() as connection:
        records.publish(connection, *staged({"a": "1", "b": "2"}), {PERSON: 1})
        [change] = [
            change
            for change in records.publish(connection, *staged({"a": "1", "c": "3"}, {"c": "rule"}), {PERSON: 2})
            if change.table == "vaccines"
        ]
        assert change == records.TableChange("vaccines", rows=1, removed=2, inserted=1, withheld=1)
        assert connection.execute("SELECT row_key FROM records.vaccines").fetchall() == [("a",)]
        assert connection.execute("SELECT row_key, rule FROM records.withheld_rows").fetchall() == [("c", "rule")]
        assert records.built(connection) == {PERSON: (2, records.declaration())}


def test_a_row_that_breaks_a_warning_is_published_with_remarks_and_without_what_cannot_be_true(
    home: Path, staged: Any
) -> None:
    negative, odd, keyless = "vaccines.dose_not_negative", "vaccines.status_known", "vaccines.row_key_form"
    broken = {"b": f"{odd} {negative}", "c": odd, "d": f"{negative} {keyless}"}
    with open_records() as connection:
        changes = records.publish(connection, *staged(dict.fromkeys("abcd", "1"), broken), {PERSON: 1})
        assert {change.table: (change.inserted, change.withheld) for change in changes}["vaccines"] == (3, 1)
        rows = connection.execute(
            "SELECT row_key, dose, dose_text, remarks FROM records.vaccines ORDER BY ALL"
        ).fetchall()
        assert rows == [
            ("a", -1.0, "-1.0", ["from-the-build"]),
            ("b", None, "-1.0", ["from-the-build", negative, odd]),
            ("c", -1.0, "-1.0", ["from-the-build", odd]),
        ]
        assert connection.execute("SELECT row_key, rule FROM records.withheld_rows").fetchall() == [("d", keyless)]


def test_a_failed_publication_leaves_everything_as_it_was(home: Path, staged: Any) -> None:
    with open_records() as connection:
        records.publish(connection, *staged({"a": "1"}), {PERSON: 1})
        folder, withheld = staged({"b": "2"})
        (folder / "visits").mkdir()
        (folder / "visits" / "torn.parquet").write_bytes(b"PAR1")
        with pytest.raises(duckdb.Error):
            records.publish(connection, folder, withheld, {PERSON: 2})
        assert connection.execute("SELECT row_key FROM records.vaccines").fetchall() == [("a",)]
        assert records.built(connection)[PERSON][0] == 1


def test_a_table_declared_anew_is_made_anew_by_the_publication(home: Path, staged: Any) -> None:
    with open_records() as connection:
        connection.execute("ALTER TABLE records.vaccines DROP COLUMN code")
        records.publish(connection, *staged({"a": "1"}), {PERSON: 1})
        assert connection.execute("SELECT row_key, code FROM records.vaccines").fetchall() == [("a", "1")]


def test_an_analyst_cannot_write_and_a_missing_lake_is_named(home: Path, tmp_path: Path) -> None:
    with open_records(read_only=True) as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("DELETE FROM records.vaccines")
    from charthouse.settings import Settings

    empty = Settings(home=tmp_path / "empty", records_catalog="")
    with connect(empty) as connection, pytest.raises(LakeError) as caught:
        attach(connection, "records", read_only=True, settings=empty)
    assert caught.value.code == "CH501"


@pytest.mark.parametrize("value", ["Smith-canary", "é😀" * 100], ids=["quoted by DuckDB", "cut within a character"])
def test_what_a_statement_stumbles_over_leaves_no_lake(
    home: Path, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    """DuckDB's message quotes the value, or is a UnicodeDecodeError that holds it; a task's log would show both."""
    with pytest.raises(LakeError) as caught, open_vault() as connection:
        connection.execute("SELECT CAST(to_json(?::VARCHAR) AS INTEGER)", [value])
    assert caught.value.code == "CH505"
    assert caught.value.__suppress_context__
    told = str(caught.value) + caplog.text
    assert "test_lakes.py" in told, "where it happened"
    assert value[:3] not in told
