"""Whether two texts of a resource say the same: servers lay one out in other ways in a search, a read and an export.

White space, the order of members and how a sign of a string is written say nothing in JSON (RFC 8259). The text of a
number does in FHIR (R4 §2.24.0.1): 1.10 is more precise than 1.1.
"""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Any


def same_content(text: str | bytes, other: str | bytes) -> bool:
    """Whether two texts are the same JSON; False where one of them is none."""
    try:
        return bool(_read(text) == _read(other))
    except (ValueError, RecursionError):
        return False


def _read(text: str | bytes) -> Any:
    return json.loads(text, object_pairs_hook=_members, parse_int=_number, parse_float=_number, parse_constant=_number)


def _members(pairs: list[tuple[str, Any]]) -> tuple[str, list[tuple[str, Any]]]:
    """An object, its members by name; of a repeated name all, in their order."""
    return "object", sorted(pairs, key=itemgetter(0))


def _number(text: str) -> tuple[str, str]:
    return "number", text
