"""A search as a client asked for it, read and checked (FHIR R4 §3.1.1)."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from sandbox.compartment import MEDICATION_USERS, PATIENT_PARAMETERS, TOKEN_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_COUNT: Final = 50
MOST_COUNT: Final = 1000
_IGNORED: Final = frozenset({"_format", "_pretty", "_total", "_cursor"})
_FORMATS: Final = ("json", "application/json", "application/fhir+json", "application/fhir json", "text/json")
_DATE: Final = re.compile(
    r"(eq|ne|gt|lt|ge|le|sa|eb)?(\d{4})(?:-(\d\d)(?:-(\d\d)"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+ -]\d\d:\d\d)?)?)?)?"
)
_PATIENT: Final = re.compile(r"(?:https?://\S+/)?(?:Patient/)?([^/?#]+)")

IssueType = Literal[
    "invalid", "not-supported", "not-found", "deleted", "security", "login", "forbidden", "expired", "throttled",
    "exception", "too-costly", "value",
]  # fmt: skip


class RequestError(Exception):
    """A request that cannot be served: HTTP status, IssueType of the OperationOutcome, and a sentence."""

    def __init__(
        self, status: int, issue: IssueType, said: str, *, challenge: str | None = None, retry_after: int | None = None
    ) -> None:
        self.status = status
        self.issue: IssueType = issue
        self.said = said
        self.challenge = challenge
        self.retry_after = retry_after
        super().__init__(said)


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one type. Everything is and-ed; the tuples inside are or-ed."""

    type: str
    patients: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tokens: tuple[tuple[str, tuple[tuple[str | None, str | None], ...]], ...] = ()
    ids: tuple[tuple[str, ...], ...] = ()
    updated: tuple[tuple[tuple[int | None, int | None], ...], ...] = ()
    include_medication: bool = False
    include_provenance: bool = False
    count: int = DEFAULT_COUNT
    used: tuple[tuple[str, str], ...] = field(default=())


def read_query(type_name: str, pairs: Sequence[tuple[str, str]], *, strict: bool) -> Query:
    """Read the parameters of a search. What is not known is passed over, or with `strict` refused (§3.1.1.1.2).

    Raises:
        RequestError: 400 for a value or modifier that cannot be understood, 406 for another format.
    """
    patients: list[tuple[str, tuple[str, ...]]] = []
    tokens: list[tuple[str, tuple[tuple[str | None, str | None], ...]]] = []
    ids: list[tuple[str, ...]] = []
    updated: list[tuple[tuple[int | None, int | None], ...]] = []
    used: list[tuple[str, str]] = []
    medication = provenance = False
    count = DEFAULT_COUNT
    for name, value in pairs:
        bare, _, modifier = name.partition(":")
        if not value and bare not in _IGNORED:
            continue
        if bare in PATIENT_PARAMETERS.get(type_name, {}):
            if modifier not in ("", "Patient"):
                raise RequestError(400, "not-supported", f"the modifier of {bare} is not supported")
            patients.append((bare, _patients(bare, value, typed=bool(modifier))))
        elif bare in TOKEN_PARAMETERS.get(type_name, {}):
            _no_modifier(bare, modifier)
            tokens.append((bare, tuple(_token(bare, part) for part in _split(value))))
        elif bare == "_id":
            _no_modifier(bare, modifier)
            ids.append(tuple(_split(value)))
        elif bare == "_lastUpdated":
            _no_modifier(bare, modifier)
            updated.append(tuple(span for part in _split(value) for span in _spans(part)))
        elif bare == "_count":
            count = _count(value)
        elif bare == "_include" and type_name in MEDICATION_USERS and _is_medication(type_name, value):
            medication = True
        elif bare == "_revinclude" and value == "Provenance:target":
            provenance = True
        elif bare == "_summary" and value == "count":
            count = 0
        elif bare == "_format":
            if value not in _FORMATS:
                raise RequestError(406, "not-supported", "only JSON is served")
            continue
        elif bare in _IGNORED:
            continue
        elif strict:
            raise RequestError(400, "not-supported", f"{type_name} has no search parameter {bare[:64]} here")
        else:
            continue
        used.append((name, value))
    return Query(
        type=type_name,
        patients=tuple(patients),
        tokens=tuple(tokens),
        ids=tuple(ids),
        updated=tuple(updated),
        include_medication=medication,
        include_provenance=provenance,
        count=count,
        used=tuple(used),
    )


def _no_modifier(name: str, modifier: str) -> None:
    if modifier:
        raise RequestError(400, "not-supported", f"the modifier of {name} is not supported")


def _split(value: str) -> list[str]:
    """The alternatives of a value; `\\,` is no separator (§3.1.1.4.0.1)."""
    return [part.replace("\\,", ",").replace("\\|", "|") for part in re.split(r"(?<!\\),", value) if part]


def _patients(name: str, value: str, *, typed: bool) -> tuple[str, ...]:
    found = []
    for part in _split(value):
        match = _PATIENT.fullmatch(part)
        if match:
            found.append(f"Patient/{match[1]}")
        elif typed or name == "patient":
            raise RequestError(400, "value", f"{name} does not name a patient")
    return tuple(found)


def _token(name: str, part: str) -> tuple[str | None, str | None]:
    """(system or None for any, code or None for any); the system is "" for codes without one."""
    system, bar, code = part.rpartition("|")
    if not bar:
        return None, part
    if not system and not code:
        raise RequestError(400, "value", f"{name} has neither system nor code")
    return system, code or None


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise RequestError(400, "value", "_count must be a whole number from 0")
    return min(int(value[:9]), MOST_COUNT)


def _is_medication(type_name: str, value: str) -> bool:
    source, _, rest = value.partition(":")
    return source in (type_name, "*") and rest in ("medication", "medication:Medication")


def _spans(part: str) -> list[tuple[int | None, int | None]]:
    """The instants that a date with prefix finds, as [from, to) in microseconds since 1970 (§3.1.1.4.3)."""
    match = _DATE.fullmatch(part)
    try:
        low, high = _bounds(match) if match else (0, 0)
    except (ValueError, OverflowError):
        match = None
    if match is None:
        raise RequestError(400, "value", "_lastUpdated is not a date")
    spans: dict[str, list[tuple[int | None, int | None]]] = {
        "eq": [(low, high)],
        "ne": [(None, low), (high, None)],
        "gt": [(high, None)],
        "sa": [(high, None)],
        "ge": [(low, None)],
        "lt": [(None, low)],
        "eb": [(None, low)],
        "le": [(None, high)],
    }
    return spans[match[1] or "eq"]


def _bounds(match: re.Match[str]) -> tuple[int, int]:
    year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups()[1:7])
    fraction, zone = match[8], (match[9] or "Z").replace(" ", "+")
    start = datetime.fromisoformat(
        f"{year:04}-{month or 1:02}-{day or 1:02}T{hour or 0:02}:{minute or 0:02}:{min(second or 0, 59):02}"
        + zone.replace("Z", "+00:00")
    )
    if month is None:
        width = timedelta(days=366 if monthrange(int(match[2]), 2)[1] == 29 else 365)
    elif day is None:
        width = timedelta(days=monthrange(int(match[2]), month)[1])
    elif hour is None:
        width = timedelta(days=1)
    elif second is None:
        width = timedelta(minutes=1)
    else:
        width = timedelta(seconds=1)
    low = int((start - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    if fraction:
        digits = fraction[1:7]
        low += int(digits.ljust(6, "0"))
        return low, low + 10 ** (6 - len(digits))
    return low, low + int(width / timedelta(microseconds=1))
