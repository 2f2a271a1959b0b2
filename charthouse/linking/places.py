"""Words by which brands are found: names and places without what people and lists write differently."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from charthouse.linking.names import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class _Places(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    states: dict[str, str]
    synonyms: dict[str, str]
    ignored: list[str]
    countries: dict[str, str]


def words_of(text: str) -> list[str]:
    """The words of a name or a question: folded, short forms for long ones (`Saint` → st), without little words."""
    table = _table()
    words = [table.synonyms.get(word, word) for word in plain(text)]
    return [word for word in words if word not in table.ignored] or words


def words_of_place(place: Mapping[str, str]) -> set[str]:
    """The words of an address; a state by its letters and by its name."""
    words: set[str] = set()
    for key in ("line", "city", "state", "postalCode"):
        words.update(words_of(place.get(key, "")))
    for name in _state(place.get("state", "")):
        words.update(words_of(name))
    return words


def shown(place: Mapping[str, str]) -> str:
    """An address on one line, without its street."""
    city = ", ".join(place[key] for key in ("city", "state") if place.get(key))
    return " ".join(part for part in (city, place.get("postalCode", "")) if part) or place.get("country", "")


def country_of_places(places: Iterable[Mapping[str, str]]) -> str | None:
    """The country (ISO 3166-1 alpha-2) that a brand's addresses name first, or that a state gives away."""
    table = _table()
    for place in places:
        said = place.get("country", "").strip()
        if len(said) == 2 and said.isascii() and said.isalpha():
            return said.upper()
        if said.lower() in table.countries:
            return table.countries[said.lower()]
        if not said and _state(place.get("state", "")):
            return "US"
    return None


def _state(said: str) -> tuple[str, ...]:
    """Both forms of a state of the United States; nothing for any other text."""
    for letters, name in _table().states.items():
        if said.strip().lower() in (letters.lower(), name.lower()):
            return letters, name
    return ()


@cache
def _table() -> _Places:
    text = files("charthouse.linking.data").joinpath("places.json").read_bytes()
    return msgspec.json.decode(text, type=_Places)
