"""SQL queries over views: the standard's SQLQuery and SQLView Libraries."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from charthouse.operating.cli.views import app
from transforms.sql_on_fhir import Filters, ViewError, remarks_of, run_query

if TYPE_CHECKING:
    from pathlib import Path

BASE = "http://example.org/ViewDefinition"


def view(resource: str, name: str, **columns: str) -> dict[str, Any]:
    listed = [{"name": column, "path": path} for column, path in columns.items()]
    return {
        "resourceType": "ViewDefinition",
        "url": f"{BASE}/{name}",
        "resource": resource,
        "select": [{"column": listed}],
    }


PEOPLE = view("Patient", "people", id="getResourceKey()", gender="gender", active="active")
RESULTS = view("Observation", "results", patient="subject.getReferenceKey(Patient)", day="effective.ofType(dateTime)")
RESULTS["version"] = "2.0"


def content(sql: str, dialect: str = "") -> dict[str, Any]:
    return {"contentType": f"application/sql{dialect}", "data": base64.b64encode(sql.encode()).decode()}


def library(
    *contents: dict[str, Any], kind: str = "sql-query", tables: Any = None, **parameters: str
) -> dict[str, Any]:
    tables = {"people": f"{BASE}/people", "results": f"{BASE}/results|2.0"} if tables is None else tables
    return {
        "resourceType": "Library",
        "type": {"coding": [{"code": kind}]},
        "status": "active",
        "content": list(contents),
        "relatedArtifact": [{"type": "depends-on", "resource": url, "label": label} for label, url in tables.items()],
        "parameter": [{"name": name, "type": kind, "use": "in"} for name, kind in parameters.items()],
    }


RESOURCES: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "a", "gender": "female", "active": True},
    {"resourceType": "Patient", "id": "b", "gender": "male", "active": False},
    *(
        {"resourceType": "Observation", "subject": {"reference": f"Patient/{who}"}, "effectiveDateTime": day}
        for who, day in (("a", "2024-01-05"), ("a", "2024-02"), ("b", "2024-03-01T10:00:00Z"))
    ),
]
CONTEXT = {"one": PEOPLE, "two": RESULTS}
COUNT = "SELECT p.id, count(*) AS n FROM people p JOIN results r ON r.patient = p.id WHERE {} GROUP BY ALL ORDER BY id"


def rows(query: dict[str, Any], context: dict[str, Any] | None = None, **more: Any) -> list[tuple[Any, ...]]:
    found = run_query(query, CONTEXT if context is None else context, RESOURCES, **more).to_pylist()
    return [tuple(row.values()) for row in found]


def test_a_query_joins_views_with_parameters_bound_and_never_written_into_it() -> None:
    query = library(content(COUNT.format("r.day >= :since AND p.gender = :gender")), since="date", gender="string")
    assert rows(query, parameters={"since": "2024-01-01", "gender": "female"}) == [("Patient/a", 2)]
    assert rows(query, parameters={"since": "2024-02", "gender": "female"}) == [("Patient/a", 1)]
    assert rows(query, parameters={"since": "2024", "gender": "x' OR '1'='1"}) == []
    sql = "SELECT ':no' AS a, 1::INT AS b, :yes AS c -- :no\n/* :no */"
    typed = library(content(sql), tables={}, yes="boolean", number="decimal", whole="integer", at="dateTime")
    given = {"yes": "true", "number": "1.50", "whole": "-3", "at": "2024-01-01T00:00:00+02:00"}
    assert rows(typed, {}, parameters=given) == [(":no", 1, True)]


def test_the_content_is_chosen_by_dialect() -> None:
    def which(*dialects: str) -> Any:
        return rows(library(*(content(f"SELECT '{name}'", name) for name in dialects), tables={}), {})

    assert which(";dialect=postgresql", "", "; dialect=duckdb") == [("; dialect=duckdb",)]
    assert which(";dialect=postgresql", ";dialect=ansi-sql", "") == [("",)]
    assert which(";dialect=snowflake", ";dialect=ansi-sql") == [(";dialect=ansi-sql",)]
    with pytest.raises(ViewError, match="but bigquery, postgresql"):
        which(";dialect=postgresql", ";dialect=bigquery")
    plain = {"contentType": "application/sql", "extension": [{"url": "http://e/sql-text", "valueString": "SELECT 7"}]}
    assert rows(library(plain, tables={}), {}) == [(7,)]


def test_views_of_views_and_labels() -> None:
    active = library(content("SELECT id FROM p WHERE active"), kind="sql-view", tables={"p": f"{BASE}/people"})
    active["url"] = "http://example.org/Library/active"
    query = library(content("SELECT * FROM act"), tables={"act": "http://example.org/Library/active"})
    assert rows(query, {"x": active, "y": PEOPLE}) == [("Patient/a",)]
    unnamed = {key: value for key, value in PEOPLE.items() if key != "url"}
    assert rows(
        library(content("SELECT id FROM people ORDER BY id"), tables={"people": "http://e"}), {"people": unnamed}
    ) == [
        ("Patient/a",),
        ("Patient/b",),
    ]
    assert rows(active, {"y": PEOPLE}) == [("Patient/a",)]


def test_filters_are_of_the_resources_and_the_limit_of_the_rows() -> None:
    query = library(content(COUNT.format("true")))
    assert rows(query) == [("Patient/a", 2), ("Patient/b", 1)]
    assert rows(query, filters=Filters(limit=1)) == [("Patient/a", 2)]
    assert rows(query, filters=Filters(patients=["b"])) == [("Patient/b", 1)]
    told = run_query(query, {"one": PEOPLE | {"owner": "x"}, "two": RESULTS}, RESOURCES)
    assert [remark.code for remark in remarks_of(told)] == ["CH322"]


def table_of_itself() -> tuple[dict[str, Any], dict[str, Any]]:
    again = library(content("SELECT 1"), kind="sql-view", tables={"t": "http://e/t"}) | {"url": "http://e/t"}
    return library(content("SELECT 1"), tables={"t": "http://e/t"}), {"t": again}


@pytest.mark.parametrize(
    ("query", "context", "code"),
    [
        (PEOPLE, {}, "CH315"),
        (library(content("SELECT 1"), kind="logic-library", tables={}), {}, "CH315"),
        (library(tables={}), {}, "CH315"),
        (library({"contentType": "application/sql", "data": "!"}, tables={}), {}, "CH315"),
        (library({"contentType": "application/sql"}, tables={}), {}, "CH315"),
        (library(content("SELECT"), tables={}), {}, "CH315"),
        (library(content("SELECT 1; SELECT 2"), tables={}), {}, "CH315"),
        (library(content("CREATE TABLE t AS SELECT 1"), tables={}), {}, "CH315"),
        (library(content("SET enable_external_access = true"), tables={}), {}, "CH315"),
        (library(content("SELECT * FROM read_csv('/etc/passwd')"), tables={}), {}, "CH315"),
        (library(content("SELECT * FROM '/etc/passwd'"), tables={}), {}, "CH315"),
        (library(content("COPY (SELECT 1) TO '/tmp/x.csv'"), tables={}), {}, "CH315"),
        (library(content("ATTACH '/tmp/x.db'"), tables={}), {}, "CH315"),
        (library(content("SELECT * FROM CONTEXT"), tables={}), {}, "CH315"),
        (library(content("SELECT * FROM tables"), tables={}), {}, "CH315"),
        (library(content("SELECT nobody FROM people"), tables={"people": "u"}), {"people": PEOPLE}, "CH315"),
        (library(content("SELECT :x"), tables={}), {}, "CH315"),
        (library(content("SELECT 1"), tables={}, x="Coding"), {}, "CH315"),
        (library(content("SELECT 1"), tables={"a b": "u"}), {}, "CH315"),
        (library(content("SELECT 1"), tables={"people": "u"}), {"other": RESULTS}, "CH317"),
        (library(content("SELECT 1"), tables={"r": f"{BASE}/results|1.0"}), {"two": RESULTS}, "CH317"),
        (library(content("SELECT 1"), tables={}), {"one": PEOPLE}, "CH317"),
        (*table_of_itself(), "CH317"),
    ],
)
def test_what_is_no_query_is_one_error(query: dict[str, Any], context: dict[str, Any], code: str) -> None:
    with pytest.raises(ViewError) as caught:
        run_query(query, context, RESOURCES)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_an_error_of_the_run_holds_no_value() -> None:
    with pytest.raises(ViewError, match="CH315") as caught:
        rows(library(content("SELECT gender::INT FROM people"), tables={"people": "u"}), {"people": PEOPLE})
    assert "female" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1.5"),
        ("integer", "9" * 30),
        ("decimal", "x"),
        ("decimal", "NaN"),
        ("boolean", "yes"),
        ("date", "2024-02-30"),
    ],
)
def test_a_parameter_is_of_its_type(kind: str, text: str) -> None:
    query = library(content("SELECT :x"), tables={}, x=kind)
    for given in ({"x": text}, {}, {"x": "1", "y": "2"}):
        with pytest.raises(ViewError, match="CH316"):
            run_query(query, {}, RESOURCES, parameters=given)


def test_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "all.ndjson").write_text("\n".join(map(json.dumps, RESOURCES)))
    (tmp_path / "people.json").write_text(json.dumps(PEOPLE))
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    (tmp_path / "q.json").write_text(json.dumps(library(content(COUNT.format("p.gender = :g")), g="string")))

    def query(*more: str) -> Any:
        fixed = [
            str(tmp_path / "q.json"),
            "--source",
            str(tmp_path / "all.ndjson"),
            "--context",
            str(tmp_path / "people.json"),
        ]
        return CliRunner().invoke(app, ["query", *fixed, *more])

    both = ("--context", f"results={tmp_path / 'results.json'}", "--parameter", "g=female")
    assert query(*both, "--format", "csv").stdout.split() == ["id,n", "Patient/a,2"]
    assert json.loads(query(*both, "--json").stdout) == [{"id": "Patient/a", "n": 2}]
    assert "Patient/a" in query(*both).stdout
    assert "1 rows" in query(*both, "--out", str(tmp_path / "o.parquet")).stderr
    for wrong, code in (
        ((), "CH316"),
        (("--parameter", "g"), "CH316"),
        (("--parameter", "g=x"), "CH317"),
        ((*both, "--out", str(tmp_path / "o.xlsx")), "CH312"),
        ((*both, "--out", str(tmp_path)), "CH312"),
    ):
        done = query(*wrong)
        assert (done.exit_code, done.stdout, done.stderr[:5]) == (1, "", code), done.output
