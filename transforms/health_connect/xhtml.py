"""The narrative that Health Connect takes: well-formed, of declared elements and attributes, and nothing that runs.

Source: `FhirPrimitiveTypeValidator.validateXhtmlString` of Android's Health Connect module.
"""

from __future__ import annotations

from typing import Any, Final
from xml.parsers import expat

from transforms.health_connect.types import XHTML

_ELEMENTS: Final = {name: frozenset([*given, *XHTML["everywhere"]]) for name, given in XHTML["elements"].items()}


class _RefusedError(Exception):
    """Something in it is not taken."""


def is_plain(xhtml: str) -> bool:
    """Whether a narrative is one that the phone takes."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = _element
    for handler in ("ProcessingInstructionHandler", "StartDoctypeDeclHandler", "StartCdataSectionHandler"):
        setattr(parser, handler, _refuse)
    try:
        parser.Parse(xhtml, True)
    except (_RefusedError, expat.ExpatError, UnicodeEncodeError):
        return False
    return True


def narratives(resource: Any) -> list[str]:
    """The texts of all narratives in a resource: `div` of whatever has a `status` beside it, as Narrative does."""
    found, waiting = [], [resource]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            if isinstance(node.get("div"), str):
                found.append(node["div"])
    return found


def _element(name: str, attributes: dict[str, str]) -> None:
    permitted = _ELEMENTS.get(name.rpartition(" ")[2])
    if permitted is None or not {each.rpartition(" ")[2] for each in attributes} <= permitted:
        raise _RefusedError


def _refuse(*_: object) -> None:
    raise _RefusedError
