"""What the author of a view may have meant."""

from __future__ import annotations

import difflib
from functools import cache
from typing import TYPE_CHECKING

from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transforms.fhir_r4 import Element


def near(name: str, names: Iterable[str]) -> str:
    """` (did you mean …?)` for the name that is closest, or nothing."""
    close = difflib.get_close_matches(name, list(names), 1)
    return f" (did you mean {close[0]}?)" if close else ""


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
