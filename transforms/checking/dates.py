"""Dates as other standards and systems write them, as FHIR writes them: only what can mean one thing.

HL7 v2's `20200203103000-0500`, ISO 8601's other forms (`+0100`, a comma, `24:00`, small letters), single digits after a
year, and zeros for a day that is not known. `02/03/2020` can be two days, and stays as it is.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

_PARTED: Final = re.compile(
    r"(?P<year>\d{4})[-/](?P<month>\d{1,2})(?:[-/](?P<day>\d{1,2}))?"
    r"(?:(?:[Tt]|\s+)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<part>\d+))?)?)?"
    r"\s*(?P<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_CLOSE: Final = re.compile(
    r"(?P<year>(?:18|19|20|21)\d\d)(?P<month>0\d|1[0-2])(?P<day>[0-2]\d|3[01])"
    r"(?:[Tt]?(?P<hour>[01]\d|2[0-4])(?P<minute>[0-5]\d)(?:(?P<second>[0-5]\d|60)(?:\.(?P<part>\d+))?)?"
    r"(?P<zone>[Zz]|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
"""Without separators: of a year that people live in, since a number can be anything."""
_READ: Final = re.compile(
    r"\d{4}(?:-\d\d(?:-\d\d(?:[T ](?:[01]\d|2[0-3]):\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
"""What the tables read as it stands."""


def as_fhir(text: str) -> str:
    """The date or time as FHIR writes it; the same text where it is that, or is none, or could be several."""
    if _READ.fullmatch(text) and "-00" not in text[:10]:
        return text
    found = _PARTED.fullmatch(text.strip()) or _CLOSE.fullmatch(text.strip())
    if found is None:
        return text
    year, month, day = found["year"], (found["month"] or "").zfill(2), (found["day"] or "").zfill(2)
    if found["hour"] is None:
        return _day(year, month, day) or text
    hour, minute, second = found["hour"].zfill(2), found["minute"], found["second"]
    midnight = hour == "24" and {minute, second or "00"} == {"00"}
    try:
        on = date(int(year), int(month), int(day)) + timedelta(days=midnight)
    except (ValueError, OverflowError):
        return text
    if not midnight and (hour > "23" or minute > "59" or (second or "00") > "60"):
        return text
    clock = f"{'00' if midnight else hour}:{minute}"
    if second:
        clock += f":{second}" + (f".{found['part']}" if found["part"] else "")
    return f"{on.isoformat()}T{clock}{_zone(found['zone'])}"


def _day(year: str, month: str, day: str) -> str | None:
    """A date as exact as it is: zeros stand for what is not known."""
    if month == "00":
        return year if day == "00" and year != "0000" else None
    try:
        date(int(year), int(month), 1 if day == "00" else int(day))
    except ValueError:
        return None
    return f"{year}-{month}" if day == "00" else f"{year}-{month}-{day}"


def _zone(sent: str | None) -> str:
    if not sent:
        return ""
    if sent[0] not in "+-":
        return "Z"
    digits = sent[1:].replace(":", "").ljust(4, "0")
    return f"{sent[0]}{digits[:2]}:{digits[2:]}"
