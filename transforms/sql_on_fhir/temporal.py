"""SQL for dates and times kept as FHIR text: as instants to compare, and their boundaries.

FHIR texts are `YYYY`, `YYYY-MM`, `YYYY-MM-DD` and `YYYY-MM-DDThh:mm:ss[.fff](Z|±hh:mm)`; a partial one stands for a
span of time. Comparing two spans that overlap without being equal gives NULL, as FHIRPath asks for. Times without a
zone are compared as UTC. DuckDB minds an offset in a text only on the way to TIMESTAMP WITH TIME ZONE.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from transforms.sql_on_fhir import sql

_START = "0000-01-01T00:00:00"
_MIDNIGHT = "00:00:00"
_LAST_OF_TIME = "23:59:59.999999"

_ZONE = "(Z|[+-][0-9]{2}:[0-9]{2})"
_CLOCK = "[0-9]{2}(:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?)?"
_FORMS = {
    "date": "[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?",
    "dateTime": f"[0-9]{{4}}(-[0-9]{{2}}(-[0-9]{{2}}(T{_CLOCK}{_ZONE}?)?)?)?",
    "time": _CLOCK,
}
_PARTS = re.compile(r"(?:(\d{4})(?:-(\d\d))?(?:-(\d\d))?)?T?(?:(\d\d)(?::(\d\d))?(?::(\d\d))?(?:\.\d+)?)?")


def in_calendar(text: str) -> bool:
    """Whether the day and the time of day that a well-formed text names exist."""
    found = _PARTS.match(text)
    year, month, day, hour, minute, second = found.groups() if found else (None,) * 6
    try:
        date(int(year or 1), int(month or 1), int(day or 1))
        time(int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return False
    return True


def well_formed(text: str, family: str) -> str:
    """Whether a text is a date or time of that kind at all."""
    return f"regexp_full_match({text}, '{_FORMS[family]}')"


def instant(text: str, *, strict: bool = False) -> str:
    """The first instant that a date or dateTime can mean, as TIMESTAMP WITH TIME ZONE.

    Of another text there is none: NULL, but `strict` the query ends.
    """
    zoned = f"regexp_matches({text}, '{_ZONE}$')"
    padded = f"{text} || substr('{_START}', length({text}) + 1) || 'Z'"
    local = f"regexp_replace({text}, '{_ZONE}$', '')"
    short = f"{local} || substr('{_START}', length({local}) + 1) || regexp_extract({text}, '{_ZONE}$')"
    cast, none = ("CAST", "error('CH320')") if strict else ("TRY_CAST", "NULL")
    whole = (
        f"CASE WHEN length({text}) < 10 AND NOT regexp_full_match({text}, '[0-9]{{4}}(-[0-9]{{2}})?') THEN {none} "
        f"WHEN NOT {zoned} THEN {padded} WHEN substr({text}, 17, 1) = ':' THEN {text} ELSE {short} END"
    )
    return f"{cast}({whole} AS TIMESTAMP WITH TIME ZONE)"


def earliest(text: str, family: str, *, strict: bool = False) -> str:
    """The first instant that a text can mean: TIMESTAMP in UTC, or TIME for a time."""
    if family == "time":
        return f"TRY_CAST({text} || substr('{_MIDNIGHT}', length({text}) + 1) AS TIME)"
    return f"make_timestamp(epoch_us({instant(text, strict=strict)}))"


@dataclass(frozen=True, slots=True)
class Span:
    """SQL of the first and the last instant that a date or time can mean: TIMESTAMPs in UTC, or TIMEs."""

    first: str
    last: str


def latest(first: str, text: str, family: str) -> str:
    """The last instant that a text can mean, of which the first is known."""
    if family == "time":
        return f"TRY_CAST({text} || substr('{_LAST_OF_TIME}', length({text}) + 1) AS TIME)"
    clock = f"CASE WHEN substr({text}, 17, 1) = ':' THEN INTERVAL '1 microsecond' ELSE INTERVAL '1 minute' END"
    days = "WHEN 10 THEN INTERVAL '1 day' WHEN 7 THEN INTERVAL '1 month' WHEN 4 THEN INTERVAL '1 year'"
    other = f"CASE length({text}) {days} ELSE INTERVAL '1 hour' END"
    step = f"CASE WHEN substr({text}, 14, 1) = ':' THEN {clock} ELSE {other} END"
    return f"{first} + {step} - INTERVAL '1 microsecond'"


def known_span(text: str, family: str) -> Span:
    """What a literal can mean, computed here where Python's calendar has it."""
    if family == "time":
        return Span(*(f"TIME '{text + rest[len(text) :]}'" for rest in (_MIDNIGHT, _LAST_OF_TIME)))
    at = re.search(f"{_ZONE}$", text)
    zone, local = (at.group(), text[: at.start()]) if at else ("Z", text)
    day = monthrange(int(local[:4]), int(local[5:7]))[1] if len(local) == 7 else 31
    low = local + _START[len(local) :]
    high = low if len(local) >= 19 else local + f"0000-12-{day}T{_LAST_OF_TIME}"[len(local) :]
    try:
        return Span(f"TIMESTAMP '{_in_utc(low + zone)}'", f"TIMESTAMP '{_in_utc(high + zone)}'")
    except (ValueError, OverflowError):
        given = sql.text(text)
        first = earliest(given, family)
        return Span(first, latest(first, given, family))


def _in_utc(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def compare(operator: str, left: Span, right: Span) -> str:
    """`left operator right`: true, false, or NULL where their precision does not tell."""
    before, after = f"{left.last} < {right.first}", f"{left.first} > {right.last}"
    same = f"({left.first} = {right.first} AND {left.last} = {right.last})"
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
    """lowBoundary() or highBoundary() of a text, as text with the precision of FHIRPath: day or millisecond.

    What is no date or time has no boundary.
    """
    match family:
        case "date":
            bound = _day(text, high=high)
        case "time":
            bound = _milliseconds(text, high=high)
        case _:
            clock, zone = ("23:59:59.999", "-12:00") if high else ("00:00:00.000", "+14:00")
            zoned = f"coalesce(nullif(regexp_extract({text}, '{_ZONE}$', 1), ''), '{zone}')"
            local = f"regexp_replace(substr({text}, 12), '{_ZONE}$', '')"
            bound = (
                f"CASE WHEN length({text}) <= 10 THEN {_day(text, high=high)} || 'T{clock}{zone}' "
                f"ELSE left({text}, 11) || {_milliseconds(local, high=high)} || {zoned} END"
            )
    return f"CASE WHEN {well_formed(text, family)} THEN {bound} END"


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


def _milliseconds(clock: str, *, high: bool) -> str:
    digits = f"regexp_extract({clock}, '[.]([0-9]+)', 1)"
    filled = f"rpad({digits}, greatest(3, length({digits})::INTEGER), '{9 if high else 0}')"
    rest = ":59:59" if high else ":00:00"
    return f"left({clock}, 8) || substr('{rest}', least(length({clock}), 8) - 1) || '.' || {filled}"
