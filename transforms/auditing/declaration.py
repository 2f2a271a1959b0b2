"""What the ten suites are made from: each rule said once, for every table that has the columns it reads.

`python -m transforms.auditing` writes `expectations/*.json` and their README from this module and the declared columns
of the tables; a test compares them. A column that comes or goes takes its rules along.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from transforms.auditing.suites import COLUMN_SET, UNIQUE
from transforms.values.comparators import KNOWN, UNKNOWN_COMPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transforms.tables import Table

# --- Names of columns, in this place only. ---

LOINC = "loinc_code"
REASON = "data_absent_reason_text"
NAMES_IT_TOO = ("medication_display", "class_code", "class_display")
"""What else names a drug or a visit."""
OTHER_WORDS = (
    "data_absent_reason_code",
    "data_absent_reason_display",
    "interpretation_code",
    "interpretation_display",
    "interpretation_text",
)
"""What else than a value or a reason makes an observation say something."""
SILENT = ("has_value == False", "has_members == False", "(has_components == False or component_number > 0)")
"""An observation that says nothing by itself, and does not group others that do."""
NEVER_NEGATIVE = frozenset(
    f"{base}{ending}"
    for base in ("dose", "quantity", "supply", "duration", "onset", "abatement", "performed")
    for ending in ("", "_age", "_low", "_high")
)
"""Amounts and ages: one number, or both ends of a range."""
BARE = ("recorded_at",)
"""Moments without a precision beside them that are checked all the same."""
BEGAN = {"onset_end": "effective_start", "abatement_start": "effective_start"}
"""What begins before a moment that is not the `<name>_end` of a `<name>_start`."""
PLANNED = frozenset({"expiration_date", "value_date", "value_start", "encounter_start"})
"""Moments that may lie far ahead, or are another resource's."""

# --- Words that FHIR R4 requires. Rows entered in error are rows, and say so. ---

_OBSERVATION = (
    "amended",
    "cancelled",
    "corrected",
    "entered-in-error",
    "final",
    "preliminary",
    "registered",
    "unknown",
)
STATUSES = {
    "medications": (
        *("active", "cancelled", "completed", "declined", "draft", "entered-in-error", "in-progress", "intended"),
        *("not-done", "not-taken", "on-hold", "preparation", "stopped", "unknown"),
    ),
    "procedures": (
        *("completed", "entered-in-error", "in-progress", "not-done", "on-hold", "preparation", "stopped", "unknown"),
    ),
    "vaccines": ("completed", "entered-in-error", "not-done"),
    "visits": (
        *("arrived", "cancelled", "entered-in-error", "finished", "in-progress", "onleave", "planned", "triaged"),
        "unknown",
    ),
}
CLINICAL = {
    "allergies": ("active", "inactive", "resolved"),
    "conditions": ("active", "inactive", "recurrence", "relapse", "remission", "resolved"),
}
VERIFICATION = {
    "allergies": ("confirmed", "entered-in-error", "presumed", "refuted", "unconfirmed"),
    "conditions": ("confirmed", "differential", "entered-in-error", "provisional", "refuted", "unconfirmed"),
}
CRITICALITY = ("high", "low", "unable-to-assess")
TYPE = ("allergy", "intolerance")
DONE = {
    "procedures": ("completed",),
    "vaccines": ("completed",),
    **dict.fromkeys(("lab_results", "pregnancy", "social_history", "vitals"), ("final", "amended", "corrected")),
}
"""Statuses that say that it has happened."""
DONE_RULE = {"procedures": "completed_in_the_past", "vaccines": "given_in_the_past"}
RECORD_TYPES = ("request", "statement", "dispense", "administration")


@dataclass(frozen=True, slots=True)
class Range:
    """What a vital sign can be in a living person, in one unit. Wide on purpose: outside it stand mistakes alone."""

    rule: str
    loinc: tuple[str, ...]
    unit: str
    low: float
    high: float


VITALS = (
    Range("heart_rate", ("8867-4",), "/min", 0, 400),
    Range("respiratory_rate", ("9279-1",), "/min", 0, 200),
    Range("temperature_celsius", ("8310-5",), "Cel", 10, 50),
    Range("temperature_fahrenheit", ("8310-5",), "[degF]", 50, 122),
    Range("height_centimetres", ("8302-2",), "cm", 10, 300),
    Range("height_inches", ("8302-2",), "[in_i]", 4, 120),
    Range("weight_kilograms", ("29463-7",), "kg", 0.1, 800),
    Range("weight_pounds", ("29463-7",), "[lb_av]", 0.2, 1800),
    Range("weight_grams", ("29463-7",), "g", 100, 800_000),
    Range("body_mass_index", ("39156-5",), "kg/m2", 2, 300),
    Range("head_circumference", ("9843-4",), "cm", 5, 150),
    Range("blood_pressure", ("8480-6", "8462-4", "96608-5", "96609-3"), "mm[Hg]", 0, 500),
    Range("percentage", ("2708-6", "59408-5", "3150-0", "8289-1", "59576-9", "77606-2"), "%", 0, 100),
)
PRESSURES = ("systolic", "diastolic")
"""Columns of a blood pressure, in mm[Hg]."""

# --- Kinds of rules: what breaking one does, unless the rule says otherwise, and why. ---

KINDS = {
    "shape": ("hold", "A fault of ours, not of the data: nothing is published until it is mended."),
    "key": ("withhold", "Nobody could say whose row it is, or which: standing there it would be taken for somebody's."),
    "code": ("warning", "The word is shown as sent. It may come from another version of FHIR."),
    "date": ("warning", "It cannot be true. It becomes NULL where the day as sent stands beside it."),
    "time": ("warning", "It is shown as sent: the date may be a slip, the record is there."),
    "order": ("warning", "Both dates are shown as sent: nobody can say which of them is wrong."),
    "number": ("warning", "It cannot be true. It becomes NULL; the text as sent stands beside it."),
    "content": ("warning", "The row is shown: that there is a record, and when, is worth knowing by itself."),
}


def suite_of(table: Table) -> dict[str, Any]:
    """The suite of a table, as `expectations/<table>.json` holds it."""
    entries = chain(_shape(table), _keys(table), _codes(table), _dates(table), _numbers(table), _content(table))
    return {"name": table.name, "expectations": list(entries), "meta": {"great_expectations_version": "1.24.1"}}


def _entry(
    table: Table,
    rule: str,
    kind: str,
    type_: str,
    *,
    voids: Sequence[str] = (),
    notes: str = "",
    same_as: str = "",
    **kwargs: Any,
) -> dict[str, Any]:
    consequence = KINDS[kind][0]
    if "row_condition" in kwargs:
        kwargs["condition_parser"] = "pandas"
    meta: dict[str, Any] = {
        "rule": f"{table.name}.{rule}",
        "level": "table" if consequence == "hold" else "row",
        "kind": kind,
    }
    if voids:
        meta["voids"] = list(voids)
    if same_as:
        meta["same_as"] = same_as
    return {
        "type": type_,
        "kwargs": kwargs,
        "severity": "warning" if consequence == "warning" else "critical",
        "notes": notes,
        "meta": meta,
    }


def _shape(table: Table) -> Iterator[dict[str, Any]]:
    columns = {"$PARAMETER": "columns"}
    yield _entry(table, "columns", "shape", COLUMN_SET, column_list=columns, notes="The columns are those declared.")
    yield _not_null(table, "row_key_present", "shape", "row_key", "A row without its key cannot even be withheld.")
    yield _entry(table, "row_key_unique", "shape", UNIQUE, column="row_key", notes="A key names one row.")
    if "record_type" in _names(table):
        words = "Rows of requests, dispenses and the like are told apart."
        yield _in_set(table, "record_type_known", "shape", "record_type", RECORD_TYPES, words)


def _keys(table: Table) -> Iterator[dict[str, Any]]:
    for column, whom in (("person_key", "The person"), ("link_id", "The link"), ("resource_key", "The resource")):
        yield _not_null(table, f"{column}_present", "key", column, f"{whom} is named.")
    types = "|".join(sorted(table.resource_types))
    yield _entry(
        table,
        "row_key_form",
        "key",
        "expect_column_values_to_match_regex",
        column="row_key",
        regex=f"^[^/]+/({types})/.+/[0-9]+$",
        notes="The key is of a resource that the table is made from.",
    )


def _codes(table: Table) -> Iterator[dict[str, Any]]:
    words = "One of FHIR's required codes."
    if table.name in CLINICAL:
        known = VERIFICATION[table.name]
        yield _in_set(table, "clinical_status_known", "code", "status", CLINICAL[table.name], words)
        yield _in_set(table, "verification_status_known", "code", "verification_status_code", known, words)
    else:
        yield _in_set(table, "status_known", "code", "status", STATUSES.get(table.name, _OBSERVATION), words)
    if table.name == "allergies":
        yield _in_set(table, "criticality_known", "code", "criticality", CRITICALITY, words)
        yield _in_set(table, "type_known", "code", "type", TYPE, words)
    for column in _names(table):
        if column.endswith("_comparator"):
            words = "A bound says on which side of the number the value lies; any other sign is shown as sent."
            same = UNKNOWN_COMPARATOR
            yield _in_set(table, f"{column}_known", "code", column, KNOWN, words, same_as=same)


def _dates(table: Table) -> Iterator[dict[str, Any]]:
    dates = _date_columns(table)
    for column in dates:
        bounds = {"min_value": {"$PARAMETER": "earliest"}, "max_value": {"$PARAMETER": "farthest"}}
        words = "Not before 1880, not more than 100 years ahead."
        yield _between(table, f"{column}_possible", "date", column, words, voids=_voided_date(table, column), **bounds)
        if not column.endswith("_end") and column not in PLANNED:
            words = "Not more than two years ahead."
            ahead = {"max_value": {"$PARAMETER": "latest"}}
            yield _between(table, f"{column}_not_far_ahead", "time", column, words, **ahead)
    for end in dates:
        start = BEGAN.get(end, f"{end.removesuffix('_end')}_start")
        if start in dates and (end.endswith("_end") or end in BEGAN):
            yield _entry(
                table,
                f"{end}_not_before_{start}",
                "order",
                "expect_column_pair_values_a_to_be_greater_than_b",
                column_A=end,
                column_B=start,
                or_equal=True,
                ignore_row_if="either_value_is_missing",
                row_condition=f"{end}_precision == {start}_precision",
                notes="It does not end before it begins. Only dates that are equally exact can be compared.",
            )
    if table.name in DONE:
        yield _between(
            table,
            DONE_RULE.get(table.name, "effective_in_the_past"),
            "time",
            "effective_start",
            "What is said to have happened does not lie ahead.",
            max_value={"$PARAMETER": "tomorrow"},
            row_condition=f"status in [{_listed(DONE[table.name])}]",
        )


def _numbers(table: Table) -> Iterator[dict[str, Any]]:
    numbers = {column.name for column in table.columns if column.sql_type == "DOUBLE"}
    for column in _names(table):
        if column in numbers & NEVER_NEGATIVE:
            words = "There is no less than none of it."
            voids = _voided_number(table, column)
            yield _between(table, f"{column}_not_negative", "number", column, words, voids=voids, min_value=0)
    if table.name != "vitals":
        return
    for each in VITALS:
        codes = f'{LOINC} == "{each.loinc[0]}"' if len(each.loinc) == 1 else f"{LOINC} in [{_listed(each.loinc)}]"
        yield _between(
            table,
            f"{each.rule}_possible",
            "number",
            "value",
            f"No living person has less than {each.low:,g} or more than {each.high:,g} {each.unit}.",
            voids=_voided_number(table, "value"),
            min_value=each.low,
            max_value=each.high,
            row_condition=f'{codes} and value_unit_code == "{each.unit}"',
        )
    pressure = next(each for each in VITALS if each.rule == "blood_pressure")
    for column in PRESSURES:
        words = f"No living person has less than {pressure.low:,g} or more than {pressure.high:,g} {pressure.unit}."
        bounds = {"min_value": pressure.low, "max_value": pressure.high}
        voids = _voided_number(table, column)
        yield _between(table, f"{column}_possible", "number", column, words, voids=voids, **bounds)


def _content(table: Table) -> Iterator[dict[str, Any]]:
    there = _names(table)
    others = ["code", "display", *(name for name in NAMES_IT_TOO if name in there)]
    words = "It says what it is about, by a code or in words."
    same = {} if table.name == "visits" else {"same_as": "names-nothing"}
    yield _not_null(table, "says_what", "content", "text", words, row_condition=_all_missing(others), **same)
    if "has_value" in there:
        silent = [*OTHER_WORDS, *(column for column in PRESSURES if column in there)]
        said = "It has a value, an interpretation, or a reason why it has none."
        condition = " and ".join([*SILENT, _all_missing(silent)])
        yield _not_null(table, "value_or_reason", "content", REASON, said, row_condition=condition)


def _names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def _date_columns(table: Table) -> list[str]:
    there = set(_names(table))
    return [
        column.name
        for column in table.columns
        if column.name in BARE or (column.sql_type == "TIMESTAMPTZ" and f"{column.name}_precision" in there)
    ]


def _voided_date(table: Table, column: str) -> tuple[str, ...]:
    """A date that cannot be true goes only where the day as sent stays."""
    return (column, f"{column}_precision") if f"{column}_day" in _names(table) else ()


def _voided_number(table: Table, column: str) -> tuple[str, ...]:
    """A number that cannot be true, with what was calculated from it, goes only where its text stays."""
    there = _names(table)
    if f"{column}_text" not in there:
        return ()
    return tuple(name for name in (column, f"{column}_canonical") if name in there)


def _not_null(table: Table, rule: str, kind: str, column: str, notes: str, **kwargs: Any) -> dict[str, Any]:
    type_ = "expect_column_values_to_not_be_null"
    return _entry(table, rule, kind, type_, column=column, notes=notes, **kwargs)


def _in_set(
    table: Table, rule: str, kind: str, column: str, words: Sequence[str], notes: str, same_as: str = ""
) -> dict[str, Any]:
    type_ = "expect_column_values_to_be_in_set"
    return _entry(table, rule, kind, type_, column=column, value_set=list(words), notes=notes, same_as=same_as)


def _between(table: Table, rule: str, kind: str, column: str, notes: str, **kwargs: Any) -> dict[str, Any]:
    type_ = "expect_column_values_to_be_between"
    return _entry(table, rule, kind, type_, column=column, notes=notes, **kwargs)


def _all_missing(names: Sequence[str]) -> str:
    return " and ".join(f"{name}.isnull()" for name in names)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
