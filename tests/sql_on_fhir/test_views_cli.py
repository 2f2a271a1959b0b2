"""`charthouse views`: what an analyst types, and what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from typer.testing import CliRunner

from charthouse.operating.cli.views import app

if TYPE_CHECKING:
    from pathlib import Path

VIEW = {
    "resource": "Patient",
    "select": [
        {
            "column": [
                {"name": "id", "path": "getResourceKey()", "type": "string"},
                {"name": "family", "path": "name.family.first()", "type": "string"},
            ]
        }
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "view.json").write_text(json.dumps(VIEW))
    lines = [{"resourceType": "Patient", "id": "a", "name": [{"family": "F"}]}, {"resourceType": "Patient", "id": "b"}]
    (tmp_path / "patients.ndjson").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def views(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_compile_prints_sql_that_runs(folder: Path) -> None:
    done = views("compile", folder / "view.json", "--source", folder)
    assert done.exit_code == 0
    assert sorted(duckdb.connect().sql(done.stdout).fetchall()) == [("Patient/a", "F"), ("Patient/b", None)]
    assert '"vault"."current_resources"' in views("compile", folder / "view.json").stdout


def test_check_tells_columns_and_faults(folder: Path) -> None:
    done = views("check", folder / "view.json", "--json")
    assert done.exit_code == 0
    assert [(row["column"], row["sql_type"]) for row in json.loads(done.stdout)] == [
        ("id", "VARCHAR"),
        ("family", "VARCHAR"),
    ]
    (folder / "bad.json").write_text(json.dumps(VIEW | {"where": [{"path": "nam.exists()"}]}))
    done = views("check", folder / "bad.json", folder / "view.json")
    assert done.exit_code == 1
    assert "bad.json: CH303" in done.output
    assert "$.where[0].path `nam.exists()` column 1" in done.output
    assert "did you mean name?" in done.output


def test_run_shows_rows_or_writes_them(folder: Path) -> None:
    done = views("run", folder / "view.json", "--source", folder, "--json")
    assert {row["id"] for row in json.loads(done.stdout)} == {"Patient/a", "Patient/b"}
    assert "Patient/a" in views("run", folder / "view.json", "--source", folder).stdout
    done = views("run", folder / "view.json", "--source", folder, "--out", folder / "out.parquet")
    assert "2 rows" in done.output
    assert duckdb.connect().sql(f"SELECT count(*) FROM '{folder}/out.parquet'").fetchall() == [(2,)]


def test_the_run_operations_parameters_are_options(folder: Path) -> None:
    run = ("run", folder / "view.json", "--source", folder)
    assert sorted(views(*run, "--format", "csv").stdout.split()) == ["Patient/a,F", "Patient/b,", "id,family"]
    assert sorted(views(*run, "--format", "csv", "--no-header").stdout.split()) == ["Patient/a,F", "Patient/b,"]
    lines = views(*run, "--format", "ndjson", "--patient", "Patient/b").stdout
    assert lines == '{"id":"Patient/b","family":null}\n'
    assert json.loads(views(*run, "--format", "json", "--limit", "0").stdout) == []
    assert len(views(*run, "--format", "ndjson", "--since", "2024-01-01T00:00:00Z").stdout.splitlines()) == 2
    assert views(*run, "--format", "parquet").stdout_bytes.startswith(b"PAR1")
    for name, form in (("rows.ndjson", None), ("rows.json", None), ("rows.any", "csv")):
        done = views(*run, "--out", folder / name, *(("--format", form) if form else ()))
        assert "2 rows" in done.output
    assert len((folder / "rows.ndjson").read_text().splitlines()) == 2
    assert len(json.loads((folder / "rows.json").read_text())) == 2
    assert (folder / "rows.any").read_text().startswith("id,family")
    for wrong in (("--format", "xml"), ("--limit", "-1"), ("--since", "today"), ("--group", "g"), ("--patient", "c")):
        done = views(*run, *wrong)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("CH31")


def test_json_has_numbers_as_they_were_sent(folder: Path) -> None:
    column = {"name": "v", "path": "value.ofType(Quantity).value"}
    listed = {"name": "all", "path": "component.value.ofType(Quantity).value", "collection": True}
    (folder / "view.json").write_text(json.dumps({"resource": "Observation", "select": [{"column": [column, listed]}]}))
    (folder / "o.ndjson").write_text(
        '{"resourceType":"Observation","valueQuantity":{"value":0.10},"component":[{"valueQuantity":{"value":1200}}]}'
    )
    assert (
        views("run", folder / "view.json", "--source", folder, "--format", "ndjson").stdout
        == '{"v":0.1,"all":[1200]}\n'
    )


def test_what_a_view_says_in_vain_is_told(folder: Path) -> None:
    (folder / "view.json").write_text(json.dumps(VIEW | {"owner": "me"}))
    for done in (
        views("run", folder / "view.json", "--source", folder),
        views("run", folder / "view.json", "--source", folder, "--format", "csv"),
        views("check", folder / "view.json"),
    ):
        assert done.exit_code == 0
        assert "CH322 $.owner: " in done.stderr


def test_comments_in_json_are_explained(folder: Path) -> None:
    (folder / "view.json").write_text('{\n  // mine\n  "resource": "Patient"}')
    done = views("check", folder / "view.json")
    assert "line 2, column 3: JSON has no comments" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "view.json", "--source", "nothing"),
        ("run", "nothing.json", "--source", "."),
        ("run", "nothing.json"),
        ("run", "patients.ndjson", "--source", "."),
        ("check", "folder.csv"),
        ("check", "patients.ndjson"),
        ("run", "view.json", "--source", "patients.ndjson", "--out", "out.xlsx"),
        ("run", "view.json", "--source", "patients.ndjson", "--out", "nowhere/out.csv"),
        ("run", "view.json", "--source", "patients.ndjson", "--out", "folder.csv"),
        ("run", "view.json", "--source", "patients.ndjson", "--out", "/proc/out.csv"),
    ],
)
def test_a_fault_is_one_sentence(folder: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "folder.csv").mkdir()
    before = sorted(folder.iterdir())
    done = views(*arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert ("CH312" if "--out" in arguments else "CH30") in done.stderr
    assert sorted(folder.iterdir()) == before
    assert len(done.output.strip().splitlines()) == 1


def test_a_view_may_start_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "marked.json").write_text("\ufeff" + json.dumps(VIEW))
    assert views("check", folder / "marked.json").exit_code == 0


def test_what_is_left_out_is_told_beside_the_rows(folder: Path) -> None:
    (folder / "more.ndjson").write_text('no json\n{"resourceType": "Patient", "name": "x"}\n')
    done = views("run", folder / "view.json", "--source", folder, "--json")
    assert len(json.loads(done.stdout)) == 3
    assert done.stderr.splitlines() == [
        "CH321 Patient: 1 lines are no JSON object",
        "CH320 Patient.name: 1 resources do not fit",
    ]


def test_the_command_line_starts_without_an_engine() -> None:
    code = "import sys, charthouse.operating.cli; sys.exit(bool({'duckdb', 'pyarrow', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
