"""What an analyst may ask, and that no question leads out of the records."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from charthouse.errors import SetupError
from charthouse.lake.analyst import _LEADS_OUT, analyst, ends, statements
from charthouse.lake.session import EXTENSIONS, _extension_file, quoted
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

HARMLESS = {"ducklake_list_files", "ducklake_options", "ducklake_settings", "ducklake_snapshots", "murmur3_32"}
HARMLESS |= {"ducklake_current_snapshot", "ducklake_table_changes", "ducklake_table_deletions", "ducklake_table_info"}
HARMLESS |= {"ducklake_table_insertions"}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, new_installation: Any) -> Any:
    """An installation whose tables are empty."""
    installation = new_installation(tmp_path_factory.mktemp("analyst") / "home")
    assert installation.run("init").returncode == 0
    return installation


@pytest.fixture(scope="module")
def connection(asked: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARTHOUSE_HOME", str(asked.home))
        get_settings.cache_clear()
        with analyst() as opened:
            yield opened
        get_settings.cache_clear()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{home}/keys/credentials.key')",
        "SELECT * FROM '{home}/keys/credentials.key'",
        "FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM sqlite_scan('{home}/state.sqlite', 'person')",
        "SELECT * FROM system.main.\"SQLite_Scan\" /* x */ ('{home}/state.sqlite', 'person')",
        "SELECT * FROM sqlite_query('__ducklake_metadata_records', 'SELECT 1')",
        "SELECT * FROM query('SELECT * FROM sqlite' || '_scan(''{home}/state.sqlite'', ''person'')')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT 'Zoë 日本' AS words, * FROM postgres_scan('host=127.0.0.1 port=1', 'public', 'x')",
        "CREATE TEMP MACRO m() AS TABLE SELECT * FROM sqlite_scan('{home}/state.sqlite', 'person')",
        "EXPLAIN ANALYZE SELECT * FROM sqlite_scan('{home}/state.sqlite', 'person')",
        "ATTACH '{home}/state.sqlite' AS s (TYPE sqlite)",
        "ATTACH 'ducklake:sqlite:{home}/vault/catalog.sqlite' AS v",
        "CALL sqlite_attach('{home}/state.sqlite')",
        "COPY (SELECT 1) TO '{home}/records/data/evil.csv'",
        "SELECT 1; COPY (SELECT 1) TO '{home}/records/data/evil.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{home}/records/data/evil.csv'",
        "PREPARE p AS COPY (SELECT 1) TO '{home}/records/data/evil.csv'",
        "EXPORT DATABASE '{home}/records/data/all'",
        "SELECT * FROM ducklake_cleanup_old_files('records', cleanup_all => true)",
        "INSTALL spatial",
        "LOAD sqlite_scanner",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')",
        "SELECT * FROM statement",
        "DROP TABLE vaccines",
        "INSERT INTO vaccines SELECT * FROM vaccines",
        "UPDATE __ducklake_metadata_records.ducklake_metadata SET value = 'x'",
        "",
        "-- nothing",
    ],
)
def test_no_question_leads_out_or_writes(connection: duckdb.DuckDBPyConnection, asked: Any, query: str) -> None:
    with pytest.raises((duckdb.Error, SetupError)):  # noqa: PT012 - any of the statements may be the one refused
        for statement in statements(query.format(home=asked.home)):
            relation = connection.sql(statement)
            if relation is not None:
                relation.fetchall()
    assert not (asked.home / "records" / "data" / "evil.csv").exists()


def test_every_function_that_an_extension_brings_is_judged() -> None:
    def functions() -> set[str]:
        return {name for (name,) in plain.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()}

    with duckdb.connect() as plain:
        before = functions()
        for name in EXTENSIONS:
            plain.execute(f"LOAD {quoted(str(_extension_file(name)))}")
        brought = functions() - before
    harmless = HARMLESS | {"ducklake_last_committed_snapshot", "postgres_hstore_get", "postgres_hstore_to_json"}
    assert {name for name in brought if not _LEADS_OUT.fullmatch(name)} <= harmless


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT count(*) FROM vaccines", [(0,)]),
        ("WITH a AS (SELECT 1) FROM a -- done;", [(1,)]),
        ("CREATE TEMP TABLE mine AS SELECT 2 AS x; SELECT x FROM mine;", [(2,)]),
        ("SET VARIABLE y = 3; SELECT getvariable('y')", [(3,)]),
        ("SELECT 1 AS query, 2 AS \"sqlite_scan\", 'query(' AS copy", [(1, 2, "query(")]),
        ("PIVOT (VALUES (1, 2)) AS t(a, b) ON a USING sum(b)", [(2,)]),
        ("SELECT name FROM (SHOW TABLES) WHERE name LIKE 'vaccine_'", [("vaccines",)]),
        ("SELECT max(snapshot_id) >= 0 FROM ducklake_snapshots('records')", [(True,)]),
    ],
)
def test_what_an_analyst_asks_is_answered(connection: duckdb.DuckDBPyConnection, query: str, rows: list[Any]) -> None:
    *before, last = statements(query)
    for statement in before:
        connection.sql(statement)
    assert connection.sql(last).fetchall() == rows


@pytest.mark.parametrize(
    ("text", "does"), [("select 1;", True), ("select 1; -- x\n", True), ("select ';", False), ("select 1", False)]
)
def test_where_a_query_ends(text: str, does: bool) -> None:
    assert ends(text) is does


VALUES = (
    "select 1.10::decimal(9,2) as d, 12345678901234567890.5::decimal(38,1) as big, date '2024-01-02' as day, "
    "timestamptz '2024-01-02 03:04:05.5+02' as at, [1, null] as l, {'a': 'x'} as s, null as n, '\\xAA'::blob as b, "
    "9007199254740993 as i, 'Zoë \"日本\"' as u, true as t, 'nan'::double as nan, 'NaN' as word, 1 as d"
)


def test_values_reach_programs_unharmed(asked: Any) -> None:
    for locale in ({}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}):
        text = asked.run("sql", "--format", "json", VALUES, env=locale).stdout
        assert '"d":1.1,"big":12345678901234567890.5,"day":"2024-01-02"' in text
        [row] = json.loads(text, parse_constant=pytest.fail)
        assert (row["i"], row["u"], row["l"], row["s"]) == (9007199254740993, 'Zoë "日本"', [1, None], {"a": "x"})
        assert (row["at"], row["b"], row["t"]) == ("2024-01-02 01:04:05.5+00", "\\xAA", True)
        assert (row["n"], row["nan"], row["word"], row["d_1"]) == (None, None, "NaN", 1)

        names, values = csv.reader(io.StringIO(asked.run("sql", "--format", "csv", VALUES, env=locale).stdout))
        assert names == ["d", "big", "day", "at", "l", "s", "n", "b", "i", "u", "t", "nan", "word", "d"]
        assert values[:5] == ["1.10", "12345678901234567890.5", "2024-01-02", "2024-01-02 01:04:05.5+00", "[1, NULL]"]
        assert values[5:11] == ["{'a': x}", "", "\\xAA", "9007199254740993", 'Zoë "日本"', "true"]

    assert asked.rows("select * from vaccines") == []


def test_a_table_is_printed_whatever_the_terminal_knows(asked: Any) -> None:
    done = asked.run("sql", "select 'Zoë' as u; select 2", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "Zo?" in done.stdout
    assert "2" in done.stdout.splitlines()[-3]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["select from where"], "syntax error"),
        ([""], "no query"),
        (["--format", "xml", "select 1"], "table, csv, json"),
        (["--json", "select 1; select 2"], "several"),
        (["--json", "set variable x = 1"], "no rows"),
        (["select * from sqlite_scan('x', 'y')"], "sqlite_scan() is not permitted"),
        (["--json", "select cast(to_json(repeat('é😀', 100)) as integer)"], "cut within a character"),
    ],
)
def test_a_question_that_cannot_be_answered_is_one_sentence(asked: Any, arguments: list[str], part: str) -> None:
    done = asked.run("sql", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("CH010 ")
    assert part in done.stderr


def test_a_prompt_that_is_fed_answers_each_query_and_remembers_a_failure(asked: Any) -> None:
    asking = "select 1 as a; select 2 as b;\nselect from;\nselect 'x;' -- more;\n as c; -- done\nselect 4\nas d"
    done = asked.run("shell", fed=asking)
    assert done.returncode == 1
    assert [done.stdout.count(f" {name} ") for name in "abcd"] == [1, 1, 1, 1]
    assert "Parser Error" in done.stderr
    cut = asked.run("shell", fed="select cast(to_json(repeat('é😀', 100)) as integer); select 5 as e;")
    assert (cut.returncode, len(cut.stderr.splitlines())) == (1, 1)
    assert asked.run("shell", fed="select 1;\nexit\nselect from;").returncode == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak from")
def test_an_answer_of_any_size_takes_little_memory(asked: Any, tmp_path: Path) -> None:
    """A million and a half rows; as Python objects they took 600 MB more."""
    # Not getrusage: its peak begins with that of the process which started this one.
    code = (
        "import sys; from pathlib import Path; from charthouse.operating.cli import app\n"
        "try: app()\nfinally: print(Path('/proc/self/status').read_text(), file=sys.stderr)"
    )
    query = "select range as a, 'x' || range as b from range(1500000)"
    with (tmp_path / "answer.csv").open("w") as out:
        done = subprocess.run(
            [sys.executable, "-c", code, "sql", "--format", "csv", query],
            env=asked.environment(),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    [peak] = re.findall(r"^VmHWM:\s+(\d+) kB$", done.stderr, re.MULTILINE)
    assert int(peak) < 350_000
    assert (tmp_path / "answer.csv").stat().st_size > 20_000_000
