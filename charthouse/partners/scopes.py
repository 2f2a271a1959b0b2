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
class Grant:
    """One scope: its type or `*`, whether that may be searched and read, and the categories that narrow it.

    `filtered`: something else than a category narrows it as well, a code or a status.
    """

    type: str
    search: bool
    read: bool
    categories: frozenset[str] | None = None
    filtered: bool = False


@dataclass(frozen=True, slots=True)
class Scopes:
    """A granted scope string, understood. One that names no resource at all says nothing, so everything is asked."""

    grants: tuple[Grant, ...]

    def access(self, resource_type: str) -> Access:
        """What is permitted for a type."""
        if not self.grants:
            return Access(search=True, read=True)
        mine = [grant for grant in self.grants if grant.type in {"*", resource_type}]
        searches = [grant for grant in mine if grant.search]
        narrowed = [grant.categories for grant in searches if grant.categories is not None]
        return Access(
            search=bool(searches),
            read=any(grant.read for grant in mine),
            categories=frozenset().union(*narrowed) if searches and len(narrowed) == len(searches) else None,
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
        query = parse_qsl(match["query"] or "")
        named = [value for name, value in query if name == "category" and value]
        grants.append(
            Grant(
                match["type"],
                search="s" in access,
                read="r" in access,
                # Values with a comma between them are alternatives (FHIR R4 §3.2.1.5.7).
                categories=frozenset(_normalised(word) for word in named[-1].split(",")) if named else None,
                filtered=any(name != "category" for name, _ in query),
            )
        )
    return Scopes(tuple(grants))


def _normalised(category: str) -> str:
    system, bar, code = category.rpartition("|")
    return f"{_MALFORMED.get(system, system)}{bar}{code}"
