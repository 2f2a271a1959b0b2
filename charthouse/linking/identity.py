"""Who an account says its person is: names and a birth date. Sealed at rest, opened for a comparison alone.

Nothing here shows a value: not a repr, not an error, not a log line.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from charthouse.clock import now
from charthouse.errors import LinkError
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.settings import Settings
    from charthouse.state.models import Person

MOST_NAMES: Final = 10
MOST_WORDS: Final = 12
LONGEST: Final = 200
MOST_BYTES: Final = 64 * 2**10
NOT_NAMES: Final = frozenset({"nickname", "anonymous", "temp"})
"""Uses of a name in FHIR that say nothing of who the person is."""
EARLIEST: Final = date(1880, 1, 1)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, repr=False)
class HumanName:
    """A name in its parts; `text` where the parts are not known."""

    family: str = ""
    given: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()
    text: str = ""

    def __repr__(self) -> str:
        return "HumanName(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """What an account tells of its person. Several names: each is one they have or had on a document."""

    names: tuple[HumanName, ...]
    birth_date: date

    def __repr__(self) -> str:
        return "Identity(…)"


def seal(identity: Identity, person_key: str, settings: Settings | None = None) -> bytes:
    """An identity encrypted, bound to its person."""
    names = [
        {
            "family": name.family,
            "given": list(name.given),
            "prefix": list(name.prefix),
            "suffix": list(name.suffix),
            "text": name.text,
        }
        for name in identity.names
    ]
    written = json.dumps({"names": names, "birth_date": identity.birth_date.isoformat()})
    return sealer_of(settings).seal(written, _owner(person_key))


def identity_of(person: Person, settings: Settings | None = None) -> Identity | None:
    """Who the account says its person is, opened; None where it does not say.

    Raises:
        SetupError: CH006 when the key does not open it.
    """
    if person.sealed_identity is None:
        return None
    said = json.loads(sealer_of(settings).open(person.sealed_identity, _owner(person.person_key)))
    names = tuple(
        HumanName(name["family"], tuple(name["given"]), tuple(name["prefix"]), tuple(name["suffix"]), name["text"])
        for name in said["names"]
    )
    return Identity(names, date.fromisoformat(said["birth_date"]))


def read_identity(text: str | bytes) -> Identity:
    """An identity from JSON text. See `parse_identity`.

    Raises:
        LinkError: CH618 when it cannot be used.
    """
    if len(text) > MOST_BYTES:
        raise _unfit("it is larger than an identity is")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise _unfit("it is not JSON") from None
    if not isinstance(said, dict):
        raise _unfit("it is a JSON object with `names` and `birth_date`")
    return parse_identity(said)


def parse_identity(said: Mapping[str, Any]) -> Identity:
    """An identity from a document: `names` (or `name`), each with `family`, `given`, `prefix`, `suffix` or `text` as in
    FHIR, and `birth_date` (or `birthDate`), YYYY-MM-DD.

    Raises:
        LinkError: CH618 when it cannot be used; what is wrong is said, a value never.
    """
    if ("names" in said and "name" in said) or ("birth_date" in said and "birthDate" in said):
        raise _unfit("it says the same thing twice, in our words and in FHIR's")
    names = said.get("names", said.get("name"))
    if isinstance(names, dict):
        names = [names]
    if not isinstance(names, list) or not names or len(names) > MOST_NAMES:
        raise _unfit(f"`names` is a list of 1 to {MOST_NAMES} names")
    names = [name for name in names if not (isinstance(name, dict) and name.get("use") in NOT_NAMES)]
    if not names:
        raise _unfit("none of its names is one of a document: they are nicknames, or of the moment")
    return Identity(tuple(_name(name) for name in names), _birth_date(said.get("birth_date", said.get("birthDate"))))


def _name(said: object) -> HumanName:
    if not isinstance(said, dict):
        raise _unfit("a name is an object with `family` and `given`, or with `text`")
    name = HumanName(
        family=_text(said.get("family", ""), "family"),
        given=_texts(said.get("given", []), "given"),
        prefix=_texts(said.get("prefix", []), "prefix"),
        suffix=_texts(said.get("suffix", []), "suffix"),
        text=_text(said.get("text", ""), "text"),
    )
    if not (name.family or name.given or name.text):
        raise _unfit("a name has a `family` or `given` name, or `text`")
    return name


def _texts(said: object, what: str) -> tuple[str, ...]:
    listed = [said] if isinstance(said, str) else said
    if not isinstance(listed, list) or len(listed) > MOST_WORDS:
        raise _unfit(f"`{what}` is a list of at most {MOST_WORDS} texts")
    return tuple(text for text in (_text(item, what) for item in listed) if text)


def _text(said: object, what: str) -> str:
    if not isinstance(said, str) or len(said) > LONGEST:
        raise _unfit(f"`{what}` is a text of at most {LONGEST} characters")
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Zl", "Zp") for sign in said):
        raise _unfit(f"`{what}` holds a control character")
    return said.strip()


def _birth_date(said: object) -> date:
    if not isinstance(said, str) or not _DATE.fullmatch(said):
        raise _unfit("`birth_date` is a whole date, YYYY-MM-DD")
    try:
        born = date.fromisoformat(said)
    except ValueError:
        raise _unfit("`birth_date` is no day of the calendar") from None
    if not EARLIEST <= born <= now().date():
        raise _unfit("`birth_date` is in the future, or too long ago")
    return born


def _unfit(what: str) -> LinkError:
    return LinkError("CH618", where="identity", what=what)


def _owner(person_key: str) -> str:
    return f"identity of person {person_key}"
