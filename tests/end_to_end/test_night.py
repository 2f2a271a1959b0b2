"""The night as a stranger starts it: from an empty folder to tables that can be queried, and again with nothing new."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TABLES = (
    "additional",
    "allergies",
    "allergy_reactions",
    "arrived",
    "conditions",
    "demographics",
    "lab_results",
    "medication_dosages",
    "medications",
    "pregnancy",
    "procedures",
    "social_history",
    "vaccines",
    "visit_participants",
    "visits",
    "vitals",
)
"""Those that made-up people have rows in; their visits name no diagnoses, and their units and codes are all known."""


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory, new_installation: Any) -> Any:
    """An installation after two nights, with what each printed and reported."""
    # The nights are a minute apart: what is shown late would be asked for again, and that is everything.
    installation = new_installation(tmp_path_factory.mktemp("night") / "home", {"CHARTHOUSE_OVERLAP_SECONDS": "0"})
    printed, reports = [], []
    for _ in range(2):
        done = installation.run("nightly", "--people", "6", "--seed", "5")
        assert done.returncode == 0, done.stdout + done.stderr
        printed.append(done.stdout)
        reports.append(installation.json("status"))
    return installation, printed, reports


def test_every_link_is_synced_and_confirmed(nights: Any) -> None:
    installation, _, reports = nights
    assert reports[0]["links"] == {"total": 6, "complete": 6, "partial": 0, "failed": 0, "waiting": 0}
    assert {link["status"] for link in installation.json("links", "list")} == {"confirmed"}
    assert len(installation.json("people", "list")) == 6


def test_what_it_lacks_and_what_it_holds_are_said_in_words(nights: Any) -> None:
    installation, printed, reports = nights
    quarantined = sum(row["quarantined"] for row in reports[0]["types"])
    assert re.search(
        rf"^partial: {quarantined:,} resources? quarantined, [\d,]+ resources? marked", printed[0], re.MULTILINE
    )
    rows = sum(table["rows"] for table in reports[1]["tables"])
    held = {finding["what"]: finding["detail"] for finding in json.loads(installation.run("doctor", "--json").stdout)}
    assert held["records"] == f"6 people, {rows:,} rows"
    assert re.fullmatch(r"[\d,]+ versions of resources, [\d,]+ more in quarantine", held["vault"])


def test_a_pipe_gets_tables_whole(nights: Any) -> None:
    installation, _, _ = nights
    said = installation.run("sql", "select *, repeat('w', 3000) as wide from vitals limit 1").stdout
    assert "w" * 3000 in said
    assert "…" not in said


def test_every_table_has_rows_and_answers_to_its_bare_name(nights: Any) -> None:
    installation, _, reports = nights
    rows = {table["table"]: table["rows"] for table in reports[0]["tables"]}
    counts = " UNION ALL ".join(f"SELECT '{table}' AS name, count(*) AS n FROM {table}" for table in rows)
    assert {each["name"]: each["n"] for each in installation.rows(counts)} == rows
    assert [table for table in TABLES if not rows[table]] == []


def test_fetched_is_accepted_plus_quarantined_for_every_type(nights: Any) -> None:
    for row in nights[2][0]["types"]:
        assert row["fetched"] == row["accepted"] + row["quarantined"] + row["repeated"]
        assert row["accepted"] == row["new_versions"] + row["unchanged"]


def test_every_resource_of_the_source_is_accounted_for(nights: Any) -> None:
    [totals] = re.findall(r"^all((?:\s+[\d,]+){7})\s*$", nights[1][0], re.MULTILINE)
    read, repeated, served, in_vault, quarantined, not_requested, missing = (
        int(number.replace(",", "")) for number in totals.split()
    )
    assert read == repeated + served
    assert served == in_vault + quarantined + not_requested
    assert missing == 0
    assert quarantined > 0, "the made-up people have broken resources on purpose"


def test_the_second_night_is_incremental_and_says_so(nights: Any) -> None:
    installation, printed, (first, second) = nights
    assert not first["nothing_new"]
    assert second["nothing_new"]
    assert "Nothing new" in printed[1]
    assert second["fetched"] < first["fetched"] / 3
    assert {table["rows_changed"] for table in second["tables"]} == {0}
    assert [table["rows"] for table in second["tables"]] == [table["rows"] for table in first["tables"]]
    assert installation.rows("select count(distinct declaration) as n from built_people") == [{"n": 1}]


def test_who_is_linked_and_how_fresh_it_is_stands_beside_the_tables(nights: Any) -> None:
    installation, _, _ = nights
    people = installation.rows("SELECT birth_year, sex, state, links, disagrees_on FROM people")
    assert len(people) == 6
    assert all(each["birth_year"] and each["sex"] and each["links"] == 1 for each in people)
    fresh = installation.rows("SELECT provider, confirmed, expired, days_since_sync FROM providers")
    assert sum(each["confirmed"] for each in fresh) == 6
    assert {each["days_since_sync"] for each in fresh} == {0}
    brought = "SELECT table_name, sum(row_count) AS n FROM coverage WHERE result = 'complete' GROUP BY ALL"
    rows = {
        each["name"]: each["n"]
        for each in installation.rows(
            "SELECT 'vitals' AS name, count(*) AS n FROM vitals UNION ALL SELECT 'visits', count(*) FROM visits"
        )
    }
    found = {each["table_name"]: each["n"] for each in installation.rows(brought)}
    assert {name: found[name] for name in rows} == rows


def test_a_person_reads_where_the_lake_is_and_how_to_ask_it(nights: Any) -> None:
    installation, printed, _ = nights
    assert str(installation.home / "records") in printed[0]
    assert 'charthouse sql "select' in printed[0]


def test_formats_for_programs(nights: Any) -> None:
    installation = nights[0]
    text = installation.run("sql", "--format", "csv", "select 1 as one, 'a' as letter").stdout
    assert list(csv.reader(io.StringIO(text))) == [["one", "letter"], ["1", "a"]]
    status = installation.run("status").stdout
    assert "\x1b[" not in status
    narrow = installation.run("status", env={"FORCE_COLOR": "1", "COLUMNS": "40"}).stdout
    assert "\x1b[" in narrow
    assert re.sub(r"\x1b\[[\d;]*m", "", narrow).split() == status.split(), "a narrow terminal leaves nothing out"
    assert all(finding["healthy"] for finding in installation.json("doctor"))


def test_the_records_are_read_only(nights: Any) -> None:
    done = nights[0].run("sql", "delete from vaccines")
    assert done.returncode == 1
    assert done.stderr.startswith("CH010")
    assert "Traceback" not in done.stderr


def test_a_finished_night_leaves_no_landed_or_staged_file(nights: Any) -> None:
    home: Path = nights[0].home
    assert not [file for name in ("landing", "staging") for file in (home / name).rglob("*") if file.is_file()]


def test_nothing_about_a_person_is_where_it_does_not_belong(nights: Any) -> None:
    """Names, patient ids, tokens and codes of the made-up people: in no log, no Airflow table, no progress line."""
    home: Path = nights[0].home
    store = sqlite3.connect(home / "sandbox" / "generated.sqlite")
    secrets: set[str] = set()
    for (body,) in store.execute("SELECT body FROM body JOIN resource USING (seq) WHERE type = 'Patient'"):
        patient = json.loads(body)
        secrets.add(patient["id"])
        secrets |= {f"{name['given'][0]} {name['family']}" for name in patient["name"] if "given" in name}
        secrets |= {line for address in patient.get("address", ()) for line in address.get("line", ())}
    assert len(secrets) >= 12
    looked_at = [*home.glob("logs/**/*"), *home.glob("airflow/*"), home / "progress.jsonl"]
    contents = {file: file.read_bytes() for file in looked_at if file.is_file()}
    assert any(file.suffix == ".db" for file in contents)
    assert any(file.suffix == ".log" for file in contents)
    found = {
        (file.relative_to(home).as_posix(), len(secret))
        for file, content in contents.items()
        for secret in secrets
        if secret.encode() in content
    }
    assert found == set()


def test_stored_files_are_encrypted(nights: Any) -> None:
    home: Path = nights[0].home
    files = [*home.glob("vault/data/**/*.parquet"), *home.glob("records/data/**/*.parquet")]
    assert files
    assert {file.read_bytes()[:4] for file in files} == {b"PARE"}


def test_a_night_that_airflow_cannot_begin_shows_no_older_report(nights: Any) -> None:
    """The last test here: it breaks the installation, as a failing disk would."""
    installation = nights[0]
    shutil.rmtree(installation.home / "records" / "data" / "main" / "vaccines")
    [ill] = [finding for finding in json.loads(installation.run("doctor", "--json").stdout) if not finding["healthy"]]
    assert ill["what"] == "records"
    (installation.home / "airflow" / "airflow.db").write_bytes(b"no database" * 500)
    done = installation.run("nightly", "--people", "6", "--seed", "5")
    assert done.returncode == 1
    assert done.stderr.startswith("CH011 ")
    assert "before the night began" in done.stderr
    assert "Resources" not in done.stdout
