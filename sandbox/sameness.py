"""Two texts of one type and id: the same, one newer than the other, or two resources that share a name by accident."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from sandbox.store import microseconds


class _Meta(msgspec.Struct):
    lastUpdated: Any = None  # noqa: N815
    versionId: Any = None  # noqa: N815


class _Version(msgspec.Struct):
    meta: _Meta | None = None


class _About(msgspec.Struct):
    birthDate: Any = None  # noqa: N815
    subject: Any = None
    patient: Any = None


_VERSION: Final = msgspec.json.Decoder(_Version)
_ABOUT: Final = msgspec.json.Decoder(_About)
_PATIENT: Final = re.compile(r"Patient/[^/?#]+")
_UNKNOWN: Final = (-1, -1)


def same(one: bytes, other: bytes, *, but_references: bool = False) -> bool:
    """Whether two texts say the same, whatever their white space and order of keys; digits of decimals count.

    `but_references` leaves aside what they point at: the one may be resolved and the other not yet.
    """

    def hook(members: dict[str, Any]) -> dict[str, Any]:
        if but_references:
            members.pop("reference", None)
        return members

    try:
        first, second = (json.loads(text, parse_float=str, object_hook=hook) for text in (one, other))
    except (ValueError, RecursionError):
        return False
    return bool(first == second)


def are_two(type_name: str, one: bytes, other: bytes) -> bool:
    """Whether two texts of one type and id cannot be about the same: Patients born on days that exclude each other;
    others that name two patients, where no version says which is the newer."""
    try:
        first, second = _ABOUT.decode(one), _ABOUT.decode(other)
    except msgspec.DecodeError:
        return False
    if type_name == "Patient":
        days = first.birthDate, second.birthDate
        return all(isinstance(day, str) for day in days) and not (
            days[0].startswith(days[1]) or days[1].startswith(days[0])
        )
    people = {_patient(first), _patient(second)}
    return len(people) == 2 and None not in people and _UNKNOWN in (version_of(one), version_of(other))


def _patient(about: _About) -> str | None:
    for reference in (about.subject, about.patient):
        text = reference.get("reference") if isinstance(reference, dict) else None
        if isinstance(text, str) and _PATIENT.fullmatch(text):
            return text
    return None


def version_of(raw: bytes) -> tuple[int, int]:
    """How new a version is: (meta.lastUpdated in microseconds, meta.versionId as a number), -1 where unknown."""
    try:
        meta = _VERSION.decode(raw).meta
    except msgspec.DecodeError:
        return _UNKNOWN
    if meta is None:
        return _UNKNOWN
    moment = microseconds(meta.lastUpdated) if isinstance(meta.lastUpdated, str) else None
    version = meta.versionId
    number = int(version) if isinstance(version, str) and version.isascii() and version.isdigit() else -1
    return (-1 if moment is None else moment), min(number, 2**62)
