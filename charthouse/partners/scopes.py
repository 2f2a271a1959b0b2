"""What a granted scope permits (SMART App Launch 2.2 §3.0 scopes; v1 `.read` and v2 `.rs`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

_SCOPE: Final = re.compile(
    r"(?:patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]*)\.(?P<access>\*|read|write|[cruds]+)(?:\?(?P<query>.*))?"
)
_MALFORMED: Final = {
    # As the scope table of US Core prints it, and as servers repeat it.
    "http://terminology.hl7.org//CodeSystem-observation-category": (
        "http://terminology.hl7.org/CodeSystem/observation-category"
    ),
}


@dataclass(frozen=True, slots=True)
class Access:
    """What may be done with one type. `categories` narrows a search to `system|code` values; None: no narrowing."""

    search: bool
    read: bool
    categories: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Scopes:
    """A granted scope string, understood. One that names no resource at all says nothing, so everything is asked."""

    grants: tuple[tuple[str, bool, bool, str | None], ...]

    def access(self, resource_type: str) -> Access:
        """What is permitted for a type."""
        if not self.grants:
            return Access(search=True, read=True)
        mine = [grant for grant in self.grants if grant[0] in {"*", resource_type}]
        searches = [grant[3] for grant in mine if grant[1]]
        narrowed = {category for category in searches if category is not None}
        return Access(
            search=bool(searches),
            read=any(grant[2] for grant in mine),
            categories=frozenset(narrowed) if searches and None not in searches else None,
        )


def parse_scopes(granted: str) -> Scopes:
    """Read a scope string as a token answer gives it. What is no resource scope is ignored."""
    grants = []
    for word in granted.split():
        match = _SCOPE.fullmatch(word)
        if match is None:
            continue
        access = {"*": "rs", "read": "rs", "write": ""}.get(match["access"], match["access"])
        # A scope narrowed by anything but a category is asked for whole: the server leaves out what it must.
        category = dict(parse_qsl(match["query"] or "")).get("category")
        grants.append((match["type"], "s" in access, "r" in access, _normalised(category) if category else None))
    return Scopes(tuple(grants))


def _normalised(category: str) -> str:
    system, bar, code = category.rpartition("|")
    return f"{_MALFORMED.get(system, system)}{bar}{code}"
