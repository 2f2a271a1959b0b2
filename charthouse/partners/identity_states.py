"""What a verifier's words mean: where a session stands, why one failed, who was verified. Pure.

Sources: CLEAR's OpenAPI document (VerificationSessionOut, its two lists of states, `checks`) and its published reason
codes (family SV). Words that are not known leave a session pending: it is asked about again.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

State = Literal["pending", "verified", "failed", "over"]

_STATES: Final[Mapping[str, State]] = {
    "success": "verified",
    "manual_success": "verified",
    "fail": "failed",
    "manual_fail": "failed",
    "expired": "over",
    "canceled": "over",
}
CONTACT, REGION, EXPIRED, SOURCES, OTHER = "CH665", "CH666", "CH667", "CH668", "CH669"
_REASONS: Final[Mapping[int, str]] = {
    301: REGION,
    **dict.fromkeys((403, 404, 405, 407, 409, 410, 411), CONTACT),
    **dict.fromkeys((401, 402, 406, 408, *range(412, 421)), SOURCES),
}
_NAMES: Final = (
    (EXPIRED, ("expir",)),
    (REGION, ("region", "country", "geo")),
    (CONTACT, ("phone", "email", "e-mail", "otp")),
    (SOURCES, ("source", "name", "dob", "birth", "address", "ssn", "identity", "match", "dmv")),
)
"""What the name of a check that failed points at, where it brings no reason code: projects name their own checks."""
_ORDER: Final = (EXPIRED, REGION, CONTACT, SOURCES)
"""The cause that is told first: an ID that has expired, or a foreign one, makes other checks fail too."""
_CODE: Final = re.compile(r"(?:SV[-_ ]?)?([0-9]{3})", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MOST: Final = 200
_LONGEST: Final = 40


def word_of(status: object) -> str:
    """The verifier's own word, if it is one."""
    return status if isinstance(status, str) and _WORD.fullmatch(status) else ""


def state_of(word: str) -> State:
    """Where a session stands. A word that nobody knows is pending."""
    return _STATES.get(word, "pending")


def cause_of(said: Mapping[str, Any], at: datetime) -> str:
    """The number of why a session failed: what its failed checks point at, else CH669."""
    found = set(_causes(said))
    expiry = day_of(_object(_object(said.get("traits")).get("document")).get("date_of_expiry"))
    if expiry is not None and expiry < at.date():
        found.add(EXPIRED)
    return next((code for code in _ORDER if code in found), OTHER)


def patient_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Who was verified, as a Patient for the matching rules: every way in which the family name may be written.

    Projects choose what they hand over: where the person's own traits lack a name or a birth date, those of their
    document stand in (`traits.document`, seen in clients of the interface).
    """
    traits = _object(said.get("traits"))
    document = _object(traits.get("document"))
    named = traits if _text(traits.get("first_name")) or _text(traits.get("last_name")) else document
    given = [*_text(named.get("first_name")), *_text(named.get("middle_name"))]
    last, second, full = (_text(named.get(f"{part}_name")) for part in ("last", "second_family", "full_last"))
    families = dict.fromkeys(" ".join(parts) for parts in (last, last + second, full) if parts)
    names = [{"family": family, "given": given} for family in families] or [{"given": given}]
    if not (families or given):
        names = [{"text": text} for text in _text(document.get("full_name"))] or names
    days = (held.get(name) for held in (traits, document) for name in ("dob", "date_of_birth"))
    born = next((day for day in map(day_of, days) if day is not None), None)
    return {
        "resourceType": "Patient",
        "name": names,
        **({"birthDate": born.isoformat()} if born is not None else {}),
    }


def day_of(said: object) -> date | None:
    """A date in its three parts, or as YYYY-MM-DD; None for none."""
    try:
        if isinstance(said, str):
            return date.fromisoformat(said[:10])
        parts = _object(said)
        return date(int(parts["year"]), int(parts["month"]), int(parts["day"]))
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def instant_of(said: object) -> datetime | None:
    """An instant in seconds or milliseconds since 1970, or as text with its zone (RFC 3339); None for none."""
    if isinstance(said, bool) or not isinstance(said, int | float | str):
        return None
    try:
        if isinstance(said, str):
            at = datetime.fromisoformat(said[:_LONGEST])
            return None if at.tzinfo is None else at.astimezone(UTC)
        return datetime.fromtimestamp(said / 1000 if abs(said) > 1e11 else said, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _causes(said: Mapping[str, Any]) -> Iterator[str]:
    listed = said.get("checks")
    for check in (listed if isinstance(listed, list) else [])[:_MOST]:
        held = _object(check)
        if held.get("value") is True or held.get("check_result") == "success":
            continue
        codes = held.get("reason_codes")
        numbers = [_CODE.fullmatch(code) for code in codes if isinstance(code, str)] if isinstance(codes, list) else []
        known = [_REASONS[int(number[1])] for number in numbers if number and int(number[1]) in _REASONS]
        yield from known
        if not known and (held.get("value") is False or held.get("check_result") == "failure"):
            name = held.get("name")
            plain = name.lower() if isinstance(name, str) else ""
            yield from [code for code, parts in _NAMES if any(part in plain for part in parts)][:1]


def _object(said: object) -> Mapping[str, Any]:
    return said if isinstance(said, dict) else {}


def _text(said: object) -> list[str]:
    return [said] if isinstance(said, str) and said.strip() else []
