"""Units and codes of the tables that somebody may want to map, as SQL.

A row of a worklist says how often a person's rows of one link have it; it holds no value, no text that was written
about somebody, and whole days alone. For how many people that is, whoever asks adds up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from transforms.values.spelling import folded
from transforms.values.units import (
    CONTRADICTING_UNITS,
    MEASURED,
    MISSING_UNIT,
    SPELLINGS,
    UNFIT_UNIT,
    UNKNOWN_UNIT,
    canonical,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LOINC: Final = "http://loinc.org"
UNIT_REMARKS: Final = (MISSING_UNIT, UNKNOWN_UNIT, UNFIT_UNIT, CONTRADICTING_UNITS)

LONGEST: Final = 64
"""Letters of a unit or code that are shown: what is longer is a sentence, and could be about somebody."""

CODE_OF_OTHER_SYSTEM: Final = "code-of-other-system"
CODE_WITHOUT_SYSTEM: Final = "code-without-system"
CODE_MISSING: Final = "code-missing"
CODE_NOT_MEASURED: Final = "code-not-measured"

REASONS: Final[dict[str, str]] = {
    CODE_OF_OTHER_SYSTEM: "The row is coded, but in no system that the table prefers.",
    CODE_WITHOUT_SYSTEM: "The row has a code that does not say whose it is.",
    CODE_MISSING: "The row is named in words alone.",
    CODE_NOT_MEASURED: "A LOINC code with a numeric value has no canonical unit yet (schemas/units/analytes.json).",
}

UNITS_COLUMNS: Final[dict[str, str]] = {
    "person_key": "VARCHAR",
    "link_id": "VARCHAR",
    "table_name": "VARCHAR",
    "unit": "VARCHAR",
    "unit_code": "VARCHAR",
    "code": "VARCHAR",
    "code_system": "VARCHAR",
    "reason": "VARCHAR",
    "row_count": "BIGINT",
    "first_seen": "DATE",
    "last_seen": "DATE",
}

CODES_COLUMNS: Final[dict[str, str]] = {
    name: kind for name, kind in UNITS_COLUMNS.items() if name not in {"unit", "unit_code"}
}


@dataclass(frozen=True, slots=True)
class Source:
    """A published table: how SQL names it, and the columns of the numbers in it."""

    name: str
    relation: str
    value: str | None = None
    """The column of a number that has a unit; None where the table has none."""
    unit: str = "value_unit"
    unit_code: str = "value_unit_code"
    is_measured: str = "true"
    """Which rows' code says what the number is (a dose is no measurement of the drug): an SQL condition."""

    def has_number(self) -> str:
        """Whether a row has a number that its code says the meaning of: an SQL condition."""
        return f"coalesce({self.value} IS NOT NULL AND {self.is_measured}, false)" if self.value else "false"


def unmapped_units(sources: Sequence[Source]) -> str:
    """The worklist of units: spellings that nobody knows, and units that what is measured does not come in.

    Needs the relations of `transforms.values.units`. Numbers without a unit are listed where what is measured has one.
    """
    counted = " UNION ALL ".join(
        f"SELECT person_key, link_id, {_text(each.name)} AS table_name, nullif(trim({each.unit}), '') AS unit,"
        f" nullif(trim({each.unit_code}), '') AS unit_code, CASE WHEN {each.is_measured} THEN code END AS code,"
        f" CASE WHEN {each.is_measured} THEN code_system END AS code_system, {_COUNTS} FROM {each.relation}"
        f" WHERE {each.value} IS NOT NULL GROUP BY ALL"
        for each in sources
        if each.value
    )
    if not counted:
        return _nothing(UNITS_COLUMNS)
    remark = f"({canonical('1.0', 'unit', 'unit_code', 'NULL', 'loinc')}).remark"
    unit_remarks = ", ".join(_text(each) for each in UNIT_REMARKS)
    return (
        f"WITH counted AS ({counted}),"
        f" coded AS (SELECT *, CASE WHEN {_plain_system('code_system')} = '{LOINC}' THEN code END AS loinc"
        " FROM counted),"
        f" spelled AS (SELECT *, {folded('unit_code')} AS by_code, {folded('unit')} AS by_text,"
        f" {remark} AS remark FROM coded),"
        " judged AS (SELECT *, CASE"
        f" WHEN loinc IN (SELECT loinc FROM {MEASURED}) THEN CASE WHEN remark IN ({unit_remarks}) THEN remark END"
        f" WHEN coalesce(by_code, by_text) IS NOT NULL"
        f" AND NOT coalesce(by_code IN (SELECT spelling FROM {SPELLINGS}), false)"
        f" AND NOT coalesce(by_text IN (SELECT spelling FROM {SPELLINGS}), false) THEN '{UNKNOWN_UNIT}' END"
        f" AS reason FROM spelled) SELECT {_selected(UNITS_COLUMNS)} FROM judged WHERE reason IS NOT NULL ORDER BY ALL"
    )


def unmapped_codes(sources: Sequence[Source], preferred: Sequence[str]) -> str:
    """The worklist of codes: rows that no preferred system names, and LOINC codes of numbers without a canonical unit.

    `preferred` are the addresses of the systems that count as known (`schemas/systems.json`).
    Needs the relations of `transforms.values.units`.
    """
    if not sources:
        return _nothing(CODES_COLUMNS)
    counted = " UNION ALL ".join(
        f"SELECT person_key, link_id, {_text(each.name)} AS table_name, nullif(trim(code), '') AS code,"
        f" nullif(trim(code_system), '') AS code_system, {each.has_number()} AS has_number,"
        f" {_COUNTS} FROM {each.relation} GROUP BY ALL"
        for each in sources
    )
    listed = ", ".join(_plain_system(_text(system)) for system in preferred)
    system = _plain_system("code_system")
    return (
        f"WITH counted AS ({counted}), judged AS (SELECT *, CASE WHEN code IS NULL THEN '{CODE_MISSING}'"
        f" WHEN code_system IS NULL THEN '{CODE_WITHOUT_SYSTEM}'"
        f" WHEN {system} NOT IN ({listed}) THEN '{CODE_OF_OTHER_SYSTEM}'"
        f" WHEN has_number AND {system} = '{LOINC}' AND code NOT IN (SELECT loinc FROM {MEASURED})"
        f" THEN '{CODE_NOT_MEASURED}' END AS reason FROM counted)"
        f" SELECT {_selected(CODES_COLUMNS)} FROM judged WHERE reason IS NOT NULL ORDER BY ALL"
    )


_COUNTS: Final = (
    "count(*) AS row_count, CAST(min(effective_start) AT TIME ZONE 'UTC' AS DATE) AS first_seen,"
    " CAST(max(effective_start) AT TIME ZONE 'UTC' AS DATE) AS last_seen"
)


def _plain_system(system: str) -> str:
    """A system's address in small letters, by http, without the slash that some write at its end."""
    return f"regexp_replace(rtrim(lower({system}), '/'), '^https:', 'http:')"


def _selected(columns: dict[str, str]) -> str:
    return ", ".join(
        f"left({name}, {LONGEST}) AS {name}" if name in {"unit", "unit_code", "code"} else name for name in columns
    )


def _nothing(columns: dict[str, str]) -> str:
    return "SELECT " + ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items()) + " WHERE false"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
