"""Each rule of each suite is broken by a row made for it, and by no other; nothing of a value comes out."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from transforms.auditing import audit, audit_staged, rules_of
from transforms.auditing.pages import written
from transforms.tables import tables

ROOT = Path(__file__).resolve().parents[2]
TABLES = [each.name for each in tables()]
CANARY = "CANARY-4711"
AHEAD = {"tomorrow": 3, "in three years": 1100}

# Rule without its table → the change of a sound row that breaks it.
BREAKS: dict[str, dict[str, Any]] = {
    "row_key_form": {"row_key": "link/Nonsense/1/0"},
    "status_known": {"status": "finall"},
    "clinical_status_known": {"status": "well"},
    "verification_status_known": {"verification_status_code": "sure"},
    "criticality_known": {"criticality": "very"},
    "type_known": {"type": "dislike"},
    "says_what": {"code": None},
    "value_or_reason": {"has_value": False, "value": None},
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
    "systolic_possible": {"systolic": 1200},
    "diastolic_possible": {"diastolic": -80},
}
NOT_YET = {"vaccines": "not-done", "procedures": "preparation"}
"""Statuses of what has not happened, so that a date ahead breaks one rule alone."""


def breaking(table: str, rule: str) -> dict[str, Any]:
    """The change that breaks a row rule."""
    short = rule.removeprefix(f"{table}.")
    if short == "value_or_reason" and table == "vitals":
        return {**BREAKS[short], "loinc_code": "85353-1"}
    if short == "says_what" and table == "visits":
        return {"class_code": None}
    if short in BREAKS:
        return BREAKS[short]
    if short.endswith("_present"):
        return {short.removesuffix("_present"): None}
    if short.endswith("_comparator_known"):
        return {short.removesuffix("_known"): "<>"}
    if short.endswith("_not_negative"):
        return {short.removesuffix("_not_negative"): -1}
    if short.endswith("_not_far_ahead"):
        date = short.removesuffix("_not_far_ahead")
        status = (
            {"status": NOT_YET.get(table, "registered")} if table in NOT_YET or "has_value" in columns(table) else {}
        )
        return {date: "in three years", **precise(table, date, "second"), **status}
    if short.endswith("_possible"):
        # A date that is compared with a later one would break that rule too, were it of the same precision.
        date = short.removesuffix("_possible")
        return {date: "0105-03-04", **precise(table, date, "year")} if date in columns(table) else {}
    later, earlier = short.split("_not_before_")
    return {
        earlier: "2020-06-01",
        later: "2020-05-31",
        f"{earlier}_precision": "day",
        f"{later}_precision": "day",
    }


def precise(table: str, date: str, precision: str) -> dict[str, Any]:
    """How exact a date is, where its table says so."""
    return {f"{date}_precision": precision} if f"{date}_precision" in columns(table) else {}


def columns(table: str) -> set[str]:
    return {column.name for each in tables() if each.name == table for column in each.columns}


def in_days(change: dict[str, Any]) -> dict[str, Any]:
    def moment(days: int) -> str:
        return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%SZ")

    return {name: moment(AHEAD[value]) if value in AHEAD else value for name, value in change.items()}


@pytest.mark.parametrize("table", TABLES)
def test_each_row_rule_is_broken_by_its_row_alone(table: str, rows: Any, audited: Any) -> None:
    rules = [rule for rule in rules_of(table) if rule.level == "row"]
    changes = [in_days(breaking(table, rule.id)) for rule in rules]
    assert all(changes)
    frame = rows(table, *changes, {}, {})
    found, written_down = audited(table, frame)
    assert written_down == {(rule.id, frame["row_key"][number]) for number, rule in enumerate(rules)}
    assert dict(found.broken) == dict.fromkeys((rule.id for rule in rules), 1)
    severities = Counter(rule.severity for rule in rules)
    assert (found.marked, found.withheld) == (severities["warning"], severities["withhold"])
    assert (found.rows, found.held, found.table_failures, found.errors) == (len(rules) + 2, False, (), ())


@pytest.mark.parametrize("table", TABLES)
def test_each_table_rule_holds_the_batch(table: str, rows: Any, audited: Any) -> None:
    spoilt = [
        {"row_key": "link/Observation/1/0"},
        {"row_key": "link/Observation/1/0"},
        {"row_key": None},
        *({name: "gift"} for name in ("record_type",) if name in columns(table)),
    ]
    found, _ = audited(table, rows(table, *spoilt).rename(columns={"last_updated": "last_changed"}))
    assert set(found.table_failures) == {rule.id for rule in rules_of(table) if rule.level == "table"}
    assert found.held
    assert found.errors == ()


def test_only_what_nobody_could_place_is_withheld() -> None:
    withholding = {rule.id.split(".")[1] for each in TABLES for rule in rules_of(each) if rule.severity == "withhold"}
    assert withholding == {"person_key_present", "link_id_present", "resource_key_present", "row_key_form"}


def test_what_cannot_be_true_is_void_only_where_what_was_sent_stands_beside_it() -> None:
    voiding = {(each, column) for each in TABLES for rule in rules_of(each) for column in rule.voids}
    assert {("vitals", "value"), ("medications", "dose"), ("visits", "duration")} <= voiding
    for table, column in voiding:
        value = column.removesuffix("_precision").removesuffix("_canonical")
        assert {f"{value}_text", f"{value}_day"} & columns(table), column


def test_the_suites_and_their_page_are_those_written() -> None:
    for name, text in written().items():
        assert (ROOT / "expectations" / name).read_text(encoding="utf-8") == text, "run: python -m transforms.auditing"


def test_sound_rows_of_every_kind_pass(rows: Any, audited: Any) -> None:
    lab = rows(
        "lab_results",
        {},
        {"has_value": False, "data_absent_reason_code": "unknown"},
        {"has_value": False, "data_absent_reason_text": "the cuff failed"},
        {"has_value": False, "has_components": True},
        {"has_value": False, "has_members": True},
        {"has_value": False, "interpretation_display": "High"},
        {"code": None, "text": "a test of their own"},
        {"status": "entered-in-error"},
        in_days({"effective_start": "tomorrow", "status": "registered"}),
        {"effective_start": "2020-05-10", "effective_end": "2020-01-01", "effective_end_precision": "year"},
        {"row_key": "link/Observation/an_id/with.signs_/0"},
    )
    found, written_down = audited("lab_results", lab, lab.iloc[:0])
    assert (found.rows, found.held, found.marked, found.withheld, written_down) == (len(lab), False, 0, 0, set())


def test_a_row_that_is_withheld_is_not_counted_as_marked(rows: Any, audited: Any) -> None:
    both = {"person_key": None, "status": "odd", "value_comparator": "<>"}
    found, _ = audited("vitals", rows("vitals", both, {"status": "odd", "value_comparator": "<>"}, {}))
    assert (found.marked, found.withheld) == (1, 1)
    assert dict(found.broken) == {
        "vitals.value_comparator_known": 2,
        "vitals.status_known": 2,
        "vitals.person_key_present": 1,
    }


def test_a_rule_that_cannot_be_evaluated_is_an_error_and_no_violation(rows: Any, audited: Any) -> None:
    frame = rows("vitals", {"value_comparator": CANARY}, {}).drop(columns=["status"])
    found, written_down = audited("vitals", frame)
    assert found.errors == ("vitals.effective_in_the_past", "vitals.status_known")
    assert found.table_failures == ("vitals.columns",)
    assert found.held
    assert written_down == {("vitals.value_comparator_known", "link/Observation/0/0")}


def test_nothing_of_a_value_comes_out(
    rows: Any, audited: Any, capsys: pytest.CaptureFixture[str], recwarn: Any
) -> None:
    spoilt = dict.fromkeys(("status", "value_comparator", "text", "value_text", "value_unit_code"), CANARY)
    frame = rows("vitals", {**spoilt, "value": 4711.25, "code": None}).drop(columns=["effective_start"])
    found, written_down = audited("vitals", frame)
    said = f"{asdict(found)} {written_down} {capsys.readouterr()} {[str(warning.message) for warning in recwarn.list]}"
    assert written_down
    assert found.errors
    assert CANARY not in said
    assert "4711" not in said


def test_staged_files_are_read_in_chunks_that_see_each_other(
    rows: Any, audited: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CHUNK_ROWS", 3)
    found, written_down = audited(
        "visits",
        rows("visits", {}, {}, {"status": "odd"}, {}, {}),
        rows("visits", {"row_key": "link/Encounter/9/0"}, {"row_key": "link/Encounter/4/0"}),
    )
    assert found.rows == 7
    assert written_down == {("visits.status_known", "link/Encounter/2/0")}
    assert found.table_failures == ("visits.row_key_unique",)


def test_staged_files_with_other_columns_hold_the_batch(rows: Any, audited: Any) -> None:
    other = rows("visits", {"row_key": "link/Encounter/9/0"}).drop(columns=["class_code"])
    found, _ = audited("visits", rows("visits", {}), other)
    assert (found.table_failures, found.held, found.rows) == (("visits.columns",), True, 2)


def test_a_process_of_its_own_says_the_same_and_nothing_of_a_value(tmp_path: Path, rows: Any) -> None:
    """A fault is told by its place alone, and the next question is answered all the same."""
    (tmp_path / "sound" / "visits").mkdir(parents=True)
    rows("visits", {}, {"status": CANARY}).to_parquet(tmp_path / "sound" / "visits" / "a.parquet")
    (tmp_path / CANARY / "visits").mkdir(parents=True)
    (tmp_path / CANARY / "visits" / "a.parquet").write_bytes(b"PAR1" + CANARY.encode() * 9 + b"PAR1")
    (tmp_path / "torn").symlink_to(CANARY)
    questions = [{"rows": str(tmp_path / rows), "broken": str(tmp_path / "b")} for rows in ("torn", "sound")]
    done = subprocess.run(
        [sys.executable, "-m", "transforms.auditing.service"],
        input=b"".join(orjson.dumps(question) + b"\n" for question in questions),
        check=True,
        capture_output=True,
    )
    fault, said = map(orjson.loads, done.stdout.splitlines())
    assert set(fault) == {"fault"}
    assert b"audit.py" in done.stderr
    here = [asdict(each) for each in audit_staged(tmp_path / "sound", tmp_path / "here")]
    assert said == {"audits": orjson.loads(orjson.dumps(here))}
    assert CANARY.encode() not in done.stdout + done.stderr


def test_importing_the_audit_costs_nothing() -> None:
    code = "import sys, transforms.auditing; sys.exit(bool({'great_expectations', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
