"""What the author of a view may have meant."""

from __future__ import annotations

import difflib
from functools import cache
from typing import TYPE_CHECKING

from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from transforms.fhir_r4 import Element


def near(name: str, names: Iterable[str]) -> str:
    """` (did you mean …?)` for the name that is closest, or nothing."""
    close = difflib.get_close_matches(name, list(names), 1)
    return f" (did you mean {close[0]}?)" if close else ""


_FORMER = {
    "from": ("forEach", "resource"),
    "alias": ("name", "column"),
    "union": ("unionAll",),
    "expr": ("path", "column"),
    "vars": ("constant",),
    "filter": ("where",),
    "forEachNotNull": ("forEachOrNull",),
}
"""What drafts of the standard and other engines call a property that says which rows and columns there are."""

_ELSEWHERE = {
    "where": "the view",
    "constant": "the view",
    "path": "a column",
    **dict.fromkeys(("select", "column", "forEach", "forEachOrNull", "repeat", "unionAll"), "a select"),
}
"""Properties that say which rows and columns there are, and what they belong to: elsewhere they would do nothing."""


def unknown_property(name: str, known: Collection[str]) -> str | None:
    """What is wrong with a property that looks like a known one misspelt; None for one that looks like no other."""
    if name in _ELSEWHERE:
        return f"the property {name!r} belongs to {_ELSEWHERE[name]}"
    meant = next((other for other in _FORMER.get(name, ()) if other in known), None)
    if meant is None:
        folded = {other.lower(): other for other in known}
        close = difflib.get_close_matches(name.lower(), list(folded), 1, cutoff=0.75)
        meant = folded[close[0]] if close else None
    return f"unknown property {name[:60]!r} (did you mean {meant}?)" if meant else None


def spellings(choice: Element, name: str = "") -> str:
    """How a choice is read: with one of its types; if an element of it is asked for, one that has such an element."""
    kinds = [kind for kind in choice.types if name in r4().children(kind)]
    if not kinds:
        kinds, name = [kind for kind in choice.types if kind == name] or list(choice.types), ""
    written = [f"{choice.name}.ofType({kind}){f'.{name}' if name else ''}" for kind in kinds]
    shown = written[:6] + ["…"] * (len(written) > 6)
    return "write " + (shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " or " + shown[-1])


def hint(name: str, children: Mapping[str, Element]) -> str:
    """What to write in place of an element that is not there: a choice with its type, or a name that is close."""
    for element in children.values():
        if element.is_choice and name in element.json_names:
            return f": write {element.name}.ofType({element.json_names[name]})"
    return near(name, children)


@cache
def is_known_somewhere(name: str) -> bool:
    """Whether any type of R4 has an element of that name."""
    return any(element.name == name for definition in r4().types.values() for element in definition.elements.values())
