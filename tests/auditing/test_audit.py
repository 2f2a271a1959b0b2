"""Each rule of each suite is broken by a row made for it, and by no other; nothing of a value comes out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from transforms.auditing import audit, audit_staged, audit_table, rules_of
from transforms.tables import tables

if TYPE_CHECKING:
    from pathlib import Path

TABLES = [each.name for each in tables()]
OBSERVATIONS = {"lab_results", "pregnancy", "social_history", "vitals"}
CANARY = "CANARY-4711"

# Rule without its table → the change of a sound row that breaks it.
BREAKS: dict[str, dict[str, Any]] = {
    "row_key_form": {"row_key": "link/Nonsense/1/0"},
    "status_known": {"status": "finall"},
    "clinical_status_known": {"status": "well"},
    "verification_status_known": {"verification_status_code": "sure"},
    "criticality_known": {"criticality": "very"},
    "type_known": {"type": "dislike"},
    "comparator_known": {"value_comparator": "~"},
    "says_what": {"code": None},
    "value_or_reason": {"has_value": False, "value": None},
    "duration_not_negative": {"duration": -1},
    "dose_not_negative": {"dose": -1},
    "quantity_not_negative": {"quantity": -1},
    "supply_not_negative": {"supply": -1},
    "onset_age_not_negative": {"onset_age": -1},
    "given_in_the_past": {"effective_start": "tomorrow"},
    "completed_in_the_past": {"effective_start": "tomorrow"},
    "effective_in_the_past": {"effective_start": "tomorrow"},
    "heart_rate_possible": {"value": 4000},
    "respiratory_rate_possible": {"loinc_code": "9279-1", "value": -1},
    "temperature_celsius_possible": {"loinc_code": "8310-5", "value_unit_code": "Cel", "value": 98.6},
    "temperature_fahrenheit_possible": {"loinc_code": "8310-5", "value_unit_code": "[degF]", "value": 37},
    "height_centimetres_possible": {"loinc_code": "8302-2", "value_unit_code": "cm", "value": 1.8},
    "height_inches_possible": {"loinc_code": "8302-2", "value_unit_code": "[in_i]", "value": 180},
    "weight_kilograms_possible": {"loinc_code": "29463-7", "value_unit_code": "kg", "value": 70000},
    "weight_pounds_possible": {"loinc_code": "29463-7", "value_unit_code": "[lb_av]", "value": 0},
    "weight_grams_possible": {"loinc_code": "29463-7", "value_unit_code": "g", "value": 70},
    "body_mass_index_possible": {"loinc_code": "39156-5", "value_unit_code": "kg/m2", "value": 0.5},
    "head_circumference_possible": {"loinc_code": "9843-4", "value_unit_code": "cm", "value": 350},
    "blood_pressure_possible": {"loinc_code": "8480-6", "value_unit_code": "mm[Hg]", "value": 1200},
    "percentage_possible": {"loinc_code": "2708-6", "value_unit_code": "%", "value": 950},
}


def breaking(table: str, rule: str) -> dict[str, Any]:
    """The change that breaks a row rule."""
    short = rule.removeprefix(f"{table}.")
    if short == "value_or_reason" and table == "vitals":
        return {**BREAKS[short], "loinc_code": "85353-1"}
    if short in BREAKS:
        return BREAKS[short]
    read = next(each.kwargs for each in rules_of(table) if each.id == rule)
    if short.endswith("_possible"):
        date = read["column"]
        # A date that is compared with a later one would break that rule too, were it of the same precision.
        precise = {f"{date}_precision": "year"} if f"{date}_precision" in columns(table) else {}
        return {date: "1879-12-31", **precise}
    later, earlier = read["column_A"], read["column_B"]
    return {
        earlier: "2020-06-01",
        later: "2020-05-31",
        f"{earlier}_precision": "day",
        f"{later}_precision": "day",
    }


def columns(table: str) -> set[str]:
    return {column.name for each in tables() if each.name == table for column in each.columns}


def in_days(change: dict[str, Any], days: int) -> dict[str, Any]:
    from datetime import UTC, datetime, timedelta

    moment = (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%SZ")
    return {name: moment if value == "tomorrow" else value for name, value in change.items()}


@pytest.mark.parametrize("table", TABLES)
def test_each_row_rule_is_broken_by_its_row_alone(table: str, rows: Any) -> None:
    rules = [rule.id for rule in rules_of(table) if rule.level == "row"]
    changes = [in_days(breaking(table, rule), 3) for rule in rules]
    assert all(changes)
    found = audit_table(table, rows(table, *changes, {}, {}))
    keys = [change.get("row_key") or f"{sound_prefix(rows, table)}/{number}/0" for number, change in enumerate(changes)]
    assert set(found.broken_rows) == set(zip(rules, keys, strict=True))
    assert (found.rows, found.held, found.table_failures, found.errors) == (len(rules) + 2, False, (), ())


def sound_prefix(rows: Any, table: str) -> str:
    return str(rows(table, {})["row_key"][0]).removesuffix("/0/0")


@pytest.mark.parametrize("table", TABLES)
def test_each_table_rule_holds_the_batch(table: str, rows: Any) -> None:
    names = ("person_key", "link_id", "resource_key", "record_type")
    spoilt = [
        {"row_key": "link/Observation/1/0"},
        {"row_key": "link/Observation/1/0"},
        {"row_key": None},
        *({name: None if name.endswith(("key", "id")) else "gift"} for name in names if name in columns(table)),
    ]
    frame = rows(table, *spoilt).rename(columns={"last_updated": "last_changed"})
    found = audit_table(table, frame)
    assert set(found.table_failures) == {rule.id for rule in rules_of(table) if rule.level == "table"}
    assert found.held
    assert found.errors == ()


def test_sound_rows_of_every_kind_pass(rows: Any) -> None:
    lab = rows(
        "lab_results",
        {},
        {"has_value": False, "data_absent_reason_code": "unknown"},
        {"has_value": False, "data_absent_reason_text": "the cuff failed"},
        {"has_value": False, "has_components": True},
        {"has_value": False, "has_members": True},
        {"code": None, "text": "a test of their own"},
        in_days({"effective_start": "tomorrow", "status": "registered"}, 300),
        {"effective_start": "2020-05-10", "effective_end": "2020-01-01", "effective_end_precision": "year"},
    )
    found = audit_table("lab_results", lab)
    assert (found.rows, found.held, found.broken_rows) == (8, False, ())
    assert audit_table("lab_results", lab.iloc[:0]).held is False


def test_a_rule_that_cannot_be_evaluated_is_an_error_and_no_violation(rows: Any) -> None:
    frame = rows("vitals", {"value_comparator": CANARY}, {}).drop(columns=["status"])
    found = audit_table("vitals", frame)
    assert found.errors == ("vitals.effective_in_the_past", "vitals.status_known")
    assert found.table_failures == ("vitals.columns",)
    assert found.held
    assert found.broken_rows == (("vitals.comparator_known", "link/Observation/0/0"),)


def test_nothing_of_a_value_comes_out(rows: Any, capsys: pytest.CaptureFixture[str], recwarn: Any) -> None:
    spoilt = dict.fromkeys(("status", "value_comparator", "text", "value_text", "value_unit_code"), CANARY)
    frame = rows("vitals", {**spoilt, "value": 4711.25, "code": None}).drop(columns=["effective_start"])
    found = audit_table("vitals", frame)
    said = f"{asdict(found)} {capsys.readouterr()} {[str(warning.message) for warning in recwarn.list]}"
    assert found.broken_rows
    assert found.errors
    assert CANARY not in said
    assert "4711" not in said


def test_staged_files_are_read_in_chunks_that_see_each_other(
    tmp_path: Path, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CHUNK_ROWS", 3)
    folder = tmp_path / "visits"
    folder.mkdir()
    rows("visits", {}, {}, {"status": "odd"}, {}, {}).to_parquet(folder / "a.parquet")
    rows("visits", {"row_key": "link/Encounter/9/0"}, {"row_key": "link/Encounter/4/0"}).to_parquet(
        folder / "b.parquet"
    )
    found = {each.table: each for each in audit_staged(tmp_path)}
    assert list(found) == TABLES
    assert found["visits"].rows == 7
    assert found["visits"].broken_rows == (("visits.status_known", "link/Encounter/2/0"),)
    assert found["visits"].table_failures == ("visits.row_key_unique",)
    assert all(each.rows == 0 and not each.held for name, each in found.items() if name != "visits")


def test_staged_files_with_other_columns_hold_the_batch(tmp_path: Path, rows: Any) -> None:
    folder = tmp_path / "visits"
    folder.mkdir()
    rows("visits", {}).to_parquet(folder / "a.parquet")
    rows("visits", {"row_key": "link/Encounter/9/0"}).drop(columns=["class_code"]).to_parquet(folder / "b.parquet")
    found = next(each for each in audit_staged(tmp_path) if each.table == "visits")
    assert (found.table_failures, found.held, found.rows) == (("visits.columns",), True, 2)


def apart(folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "transforms.auditing", str(folder)], check=False, capture_output=True)


def test_a_process_of_its_own_says_the_same(tmp_path: Path, rows: Any) -> None:
    (tmp_path / "visits").mkdir()
    rows("visits", {}, {"status": CANARY}).to_parquet(tmp_path / "visits" / "a.parquet")
    done = apart(tmp_path)
    assert orjson.loads(done.stdout) == orjson.loads(orjson.dumps([asdict(each) for each in audit_staged(tmp_path)]))
    assert CANARY.encode() not in done.stdout + done.stderr


def test_a_process_that_breaks_says_where_and_nothing_of_a_value(tmp_path: Path) -> None:
    (tmp_path / CANARY).mkdir()
    (tmp_path / "visits").symlink_to(CANARY)
    (tmp_path / "visits" / f"{CANARY}.parquet").write_bytes(b"PAR1" + CANARY.encode() * 9 + b"PAR1")
    done = apart(tmp_path)
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"audit.py" in done.stderr
    assert CANARY.encode() not in done.stderr


def test_importing_the_audit_costs_nothing() -> None:
    code = "import sys, transforms.auditing; sys.exit(bool({'great_expectations', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
