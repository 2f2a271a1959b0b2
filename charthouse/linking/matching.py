"""Whether a provider's Patient is the account's own person: the declared rules of docs/linking.md, never looser. Pure.

The birth date must be the same whole date, and one name of the account must agree with one name of the Patient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, Literal

from charthouse.linking.identity import NOT_NAMES
from charthouse.linking.names import has_alphabet, is_initial, plain, read_parts, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from charthouse.linking.identity import HumanName, Identity
    from charthouse.linking.names import Reading

Reason = Literal[
    "matched",
    "not_a_patient",
    "deceased",
    "birth_date_missing",
    "birth_date_partial",
    "birth_date_differs",
    "name_missing",
    "name_differs",
]

FORMER: Final = frozenset({"old", "maiden"})
MOST_NAMES: Final = 50
_PARTIAL: Final = re.compile(r"\d{4}(-\d{2})?")


@dataclass(frozen=True, slots=True)
class Match:
    """The verdict, and its reason as a code."""

    matched: bool
    reason: Reason


def matches(identity: Identity, patient: Mapping[str, Any]) -> Match:
    """Compare what an account tells of its person with a provider's Patient resource."""
    reason = _reason(identity, patient)
    return Match(reason == "matched", reason)


def same_person(changed: Identity, known: Identity) -> bool:
    """Whether an identity that an account tells anew is of the person before: each of its names is one of theirs."""
    if changed.birth_date != known.birth_date:
        return False
    ours = [reading for name in known.names for reading in _readings_of_name(name) if _is_a_name(reading)]
    return all(any(_agree(one, other) for one in _readings_of_name(name) for other in ours) for name in changed.names)


def birth_date_of(patient: Mapping[str, Any]) -> date | None:
    """The Patient's birth date; None where it is missing, partial or no date."""
    said = patient.get("birthDate")
    if not isinstance(said, str) or len(said) != len("YYYY-MM-DD"):
        return None
    try:
        return date.fromisoformat(said)
    except ValueError:
        return None


def _reason(identity: Identity, patient: Mapping[str, Any]) -> Reason:
    if patient.get("resourceType") != "Patient":
        return "not_a_patient"
    if patient.get("deceasedBoolean") not in (None, False) or patient.get("deceasedDateTime") is not None:
        return "deceased"
    born = birth_date_of(patient)
    if born is None:
        said = patient.get("birthDate")
        partial = isinstance(said, str) and _PARTIAL.fullmatch(said) is not None
        return "birth_date_partial" if partial else "birth_date_missing"
    if born != identity.birth_date:
        return "birth_date_differs"
    theirs = [reading for reading in _readings_of_patient(patient) if _is_a_name(reading)]
    if not theirs:
        return "name_missing"
    ours = [reading for name in identity.names for reading in _readings_of_name(name) if _is_a_name(reading)]
    return "matched" if any(_agree(one, other) for one in ours for other in theirs) else "name_differs"


def _is_a_name(reading: Reading) -> bool:
    """Whether a letter is left of it: two who are both "unknown" (FNU LNU, "?", "-") are not one person."""
    return any(sign.isalpha() for word in reading.words for sign in word)


def _agree(one: Reading, other: Reading) -> bool:
    """Whether two readings are of one name: family and given names agree, or all words are the same, out of order."""
    if one.generations and other.generations and one.generations != other.generations:
        return False
    if one.words == other.words and len(one.words) > 1 and not _initials(one.words):
        return True
    if not (one.family and one.given and other.family and other.given):
        return bool(_undivided(one) & _undivided(other))
    return one.family == other.family and _given_agree(one.given, other.given)


def _undivided(name: Reading) -> set[str]:
    """A name as one word: of people who have but one, and in scripts that put no space between its parts."""
    called = "".join(name.given)
    if not name.family or not called:
        whole = name.family or called
        return set() if is_initial(whole) else {whole}
    written = name.family + called
    return set() if has_alphabet(written) else {written, called + name.family}


def _given_agree(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether given names agree: the first of each stands in the other, whole; middle names may be missing or initials,
    and what is there on both sides does not contradict.
    """
    short, long = sorted((one, other), key=len)
    if is_initial(short[0]) or is_initial(long[0]):
        return False
    if any("".join(some) in _leading(more) for some, more in ((short, long), (long, short)) if not _initials(some)):
        return True
    if short[0] not in long or long[0] not in short:
        return False
    left = list(long)
    for word in sorted(short, key=len, reverse=True):  # whole names find themselves before initials take one away
        partner = next((name for name in left if name == word), None) or next(
            (name for name in left if _initial_of(word, name)), None
        )
        if partner is None:
            return False
        left.remove(partner)
    return True


def _leading(words: Sequence[str]) -> list[str]:
    """What the first words give when they are written as one; an initial is no part of another word."""
    whole = list(takewhile(lambda word: not is_initial(word), words))
    return ["".join(whole[:count]) for count in range(1, len(whole) + 1)]


def _initials(words: Sequence[str]) -> bool:
    return any(is_initial(word) for word in words)


def _initial_of(word: str, name: str) -> bool:
    shorter, longer = sorted((word, name), key=len)
    return is_initial(shorter) and longer.startswith(shorter)


def _readings_of_name(name: HumanName) -> Iterator[Reading]:
    if (name.family and name.given) or not name.text:
        yield from read_parts(name.family, name.given, name.suffix)
    if name.text and not (name.family and name.given):
        yield from read_text(name.text)


def _readings_of_patient(patient: Mapping[str, Any]) -> Iterator[Reading]:
    """The Patient's names. A former name without given names (`maiden` often is) borrows those of the present ones."""
    listed = patient.get("name")
    names = [name for name in (listed if isinstance(listed, list) else [listed])[:MOST_NAMES] if isinstance(name, dict)]
    names = [name for name in names if name.get("use") not in NOT_NAMES]
    present = [given for name in names if name.get("use") not in FORMER and (given := _texts(name.get("given")))]
    for name in names:
        family, given, text = _text(name.get("family")), _texts(name.get("given")), _text(name.get("text"))
        suffix = _texts(name.get("suffix"))
        if (family and given) or (not text and (given or (family and name.get("use") not in FORMER))):
            yield from read_parts(family, given, suffix)
        elif text:
            yield from read_text(text)
        if family and not given and name.get("use") in FORMER and (not text or plain(text) == plain(family)):
            for borrowed in present:
                yield from read_parts(family, borrowed, suffix)


def _text(said: object) -> str:
    return said if isinstance(said, str) and len(said) <= 1_000 else ""


def _texts(said: object) -> list[str]:
    listed = said if isinstance(said, list) else [said]
    return [text for text in map(_text, listed[:20]) if text.strip()]
