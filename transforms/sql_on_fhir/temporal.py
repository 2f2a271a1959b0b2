"""SQL for dates and times kept as FHIR text: as instants to compare, and their boundaries.

FHIR texts are `YYYY`, `YYYY-MM`, `YYYY-MM-DD` and `YYYY-MM-DDThh:mm:ss[.fff](Z|±hh:mm)`; a partial one stands for a
span of time. Comparing two spans that overlap without being equal gives NULL, as FHIRPath asks for. Times without a
zone are compared as UTC. DuckDB minds an offset in a text only on the way to TIMESTAMP WITH TIME ZONE.
"""

from __future__ import annotations

_START = "0000-01-01T00:00:00"
_MIDNIGHT = "00:00:00"


def instant(text: str) -> str:
    """The first instant that a date or dateTime can mean, as TIMESTAMP WITH TIME ZONE."""
    zoned = f"regexp_matches({text}, '(Z|[+-][0-9]{{2}}:[0-9]{{2}})$')"
    padded = f"{text} || substr('{_START}', length({text}) + 1) || 'Z'"
    return f"TRY_CAST(CASE WHEN {zoned} THEN {text} ELSE {padded} END AS TIMESTAMP WITH TIME ZONE)"


def earliest(text: str, family: str) -> str:
    """The first instant that a text can mean: TIMESTAMP in UTC, or TIME for a time."""
    if family == "time":
        return f"TRY_CAST({text} || substr('{_MIDNIGHT}', length({text}) + 1) AS TIME)"
    return f"make_timestamp(epoch_us({instant(text)}))"


def latest(text: str, family: str) -> str:
    """The last instant that a text can mean, in microseconds."""
    if family == "time":
        whole = "'59:59.999999'"
        return (
            f"TRY_CAST(CASE length({text}) WHEN 2 THEN {text} || ':' || {whole} "
            f"WHEN 5 THEN {text} || ':59.999999' ELSE {text} END AS TIME)"
        )
    first = earliest(text, family)
    spans = " ".join(
        f"WHEN {length} THEN {first} + INTERVAL '1 {unit}' - INTERVAL '1 microsecond'"
        for length, unit in ((4, "year"), (7, "month"), (10, "day"), (13, "hour"), (16, "minute"))
    )
    return f"CASE length({text}) {spans} ELSE {first} END"


def compare(operator: str, left: str, right: str, left_family: str, right_family: str) -> str:
    """`left operator right` for two texts: true, false, or NULL where their precision does not tell."""
    low_left, high_left = earliest(left, left_family), latest(left, left_family)
    low_right, high_right = earliest(right, right_family), latest(right, right_family)
    before, after = f"{high_left} < {low_right}", f"{low_left} > {high_right}"
    same = f"({low_left} = {low_right} AND {high_left} = {high_right})"
    match operator:
        case "=":
            return f"CASE WHEN {same} THEN true WHEN {before} OR {after} THEN false END"
        case "!=":
            return f"CASE WHEN {same} THEN false WHEN {before} OR {after} THEN true END"
        case "<":
            return f"CASE WHEN {before} THEN true WHEN {same} OR {after} THEN false END"
        case "<=":
            return f"CASE WHEN {before} OR {same} THEN true WHEN {after} THEN false END"
        case ">":
            return f"CASE WHEN {after} THEN true WHEN {same} OR {before} THEN false END"
        case _:
            return f"CASE WHEN {after} OR {same} THEN true WHEN {before} THEN false END"


def boundary(text: str, family: str, *, high: bool) -> str:
    """lowBoundary() or highBoundary() of a text, as text with the precision of FHIRPath: day or millisecond."""
    match family:
        case "date":
            return _day(text, high=high)
        case "time":
            padded = f"CASE length({text}) WHEN 5 THEN {text} || '{':59' if high else ':00'}' ELSE {text} END"
            return _milliseconds(padded, 9, "''", high=high)
        case _:
            clock, zone = ("23:59:59.999", "-12:00") if high else ("00:00:00.000", "+14:00")
            zoned = f"coalesce(nullif(regexp_extract({text}, '(Z|[+-][0-9]{{2}}:[0-9]{{2}})$', 1), ''), '{zone}')"
            return (
                f"CASE WHEN length({text}) <= 10 THEN {_day(text, high=high)} || 'T{clock}{zone}' "
                f"ELSE {_milliseconds(text, 20, zoned, high=high)} END"
            )


def _day(text: str, *, high: bool) -> str:
    year, month = (
        ("'-12-31'", f"strftime(last_day(TRY_CAST({text} || '-01' AS DATE)), '%Y-%m-%d')")
        if high
        else (
            "'-01-01'",
            f"{text} || '-01'",
        )
    )
    return f"CASE length({text}) WHEN 4 THEN {text} || {year} WHEN 7 THEN {month} ELSE {text} END"


def _milliseconds(text: str, point: int, zone: str, *, high: bool) -> str:
    digits = f"regexp_extract({text}, '[.]([0-9]+)', 1)"
    filled = f"rpad({digits}, greatest(3, length({digits})::INTEGER), '{9 if high else 0}')"
    return f"left({text}, {point - 1}) || '.' || {filled} || {zone}"
