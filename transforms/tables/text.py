"""Pieces of DuckDB SQL over a text as it was sent. An unreadable text becomes NULL: it never fails a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTHING = "NULL"
"""The SQL of what no resource has: rules leave out what they would make of it."""
NO_ITEMS = "[]"
"""The same of a list that views give without items."""

ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
"""The extension that says why an element is missing (FHIR R4)."""


def quoted(name: str) -> str:
    """A column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def typed(made: str, kind: str) -> str:
    """SQL in its DuckDB type, where it may be nothing."""
    return f"CAST({made} AS {kind})" if made in {NOTHING, NO_ITEMS} else made


def member(struct: str, name: str) -> str:
    """A member of a struct; nothing of nothing."""
    return NOTHING if struct == NOTHING else f"{struct}.{name}"


def first_of(texts: Iterable[str]) -> str:
    """The first that is there."""
    there = [each for each in texts if each != NOTHING]
    return there[0] if len(there) == 1 else f"coalesce({', '.join(there)})" if there else NOTHING


def words(text: str) -> str:
    """A text that is there: no empty one (FHIR has none), and no JSON of an object or array in its place."""
    return f"CASE WHEN ascii({text}) IN (91, 123) AND json_valid({text}) THEN NULL ELSE nullif({text}, '') END"


def instant_text(text: str) -> str:
    """A FHIR date, dateTime or instant, filled up to the text of the earliest instant that it can mean.

    A date that lacks its month or day starts with the first; what has no zone is taken in UTC. A leap second, which
    FHIR permits and no timestamp has, is the second before it: the day is kept. Source: FHIR R4, datatypes (date,
    dateTime, instant).
    """
    return (
        f"CASE WHEN starts_with({text}, '0000') OR starts_with({text}, '-') THEN NULL WHEN length({text}) > 16"
        f" THEN CASE WHEN substr({text}, 17, 3) = ':60' THEN left({text}, 16) || ':59' ||"
        f" CASE WHEN {_zoned(text)} THEN substr({text}, 20) ELSE substr({text}, 20) || 'Z' END"
        f" WHEN substr({text}, 17, 1) IN ('Z', '+', '-') THEN left({text}, 16) || ':00' || substr({text}, 17)"
        f" WHEN {_zoned(text)} THEN {text} ELSE {text} || 'Z' END"
        f" WHEN length({text}) = 4 THEN {text} || '-01-01T00:00:00Z'"
        f" WHEN length({text}) = 7 THEN {text} || '-01T00:00:00Z'"
        f" WHEN length({text}) = 10 THEN {text} || 'T00:00:00Z'"
        f" WHEN length({text}) = 16 THEN {text} || ':00Z' END"
    )


def _zoned(text: str) -> str:
    """Whether a time ends with its offset from UTC."""
    return f"ends_with({text}, 'Z') OR substr({text}, -6, 1) IN ('+', '-')"


def instant(text: str) -> str:
    """The earliest instant that a FHIR date, dateTime or instant can mean, as TIMESTAMPTZ."""
    return f"TRY_CAST({instant_text(text)} AS TIMESTAMPTZ)"


def precision(text: str, read: str) -> str:
    """How exact a date is: year, month, day, minute or second. `read` is its instant, NULL where it has none."""
    return (
        f"CASE WHEN {read} IS NULL THEN NULL"
        f" WHEN length({text}) = 4 THEN 'year' WHEN length({text}) = 7 THEN 'month' WHEN length({text}) = 10 THEN 'day'"
        f" WHEN length({text}) = 16 OR substr({text}, 17, 1) IN ('Z', '+', '-') THEN 'minute' ELSE 'second' END"
    )


def day(text: str, read: str) -> str:
    """The day on the sender's own calendar; NULL where no day was sent."""
    return f"CASE WHEN {read} IS NOT NULL AND length({text}) >= 10 THEN TRY_CAST(left({text}, 10) AS DATE) END"


def offset(text: str, read: str) -> str:
    """The offset from UTC as sent (`Z`, `-08:00`); NULL where none was."""
    said = (
        f"CASE WHEN ends_with({text}, 'Z') THEN 'Z' WHEN substr({text}, -6, 1) IN ('+', '-') THEN right({text}, 6) END"
    )
    return f"CASE WHEN {read} IS NOT NULL AND length({text}) > 16 THEN {said} END"


def number(text: str) -> str:
    """A number as DOUBLE, also where it was sent as a string; NULL where it is none, or beyond a DOUBLE."""
    read = f"TRY_CAST({text} AS DOUBLE)"
    return f"CASE WHEN isfinite({read}) AND NOT contains({text}, '_') THEN {read} END"


def whole(text: str) -> str:
    """A whole number as BIGINT."""
    return f"CASE WHEN regexp_full_match({text}, '\\s*[-+]?[0-9]+\\s*') THEN TRY_CAST({text} AS BIGINT) END"


def truth(text: str) -> str:
    """A boolean, also where it was sent as a string."""
    return f"CASE {text} WHEN 'true' THEN true WHEN 'false' THEN false END"


def absent_reason(extensions: str) -> str:
    """Why an element is missing, out of its extensions (a list of structs)."""
    found = f"list_filter({extensions}, lambda e: e.url = {literal(ABSENT)})[1]"
    return f"CASE WHEN {extensions} IS NOT NULL THEN coalesce({found}.valueCode, {found}.valueString) END"
