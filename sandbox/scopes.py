"""SMART scopes, versions 1 and 2: read, granted in part, and enforced for each type (SMART App Launch 2.2, §scopes)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.profiles import Profile

CONTEXT_SCOPES: Final = ("launch/patient", "openid", "fhirUser", "offline_access", "online_access")
SOCIAL_HISTORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category|social-history"
SOCIAL_HISTORY_MALFORMED: Final = "http://terminology.hl7.org//CodeSystem-observation-category|social-history"
"""As the scope table of US Core prints it, and as servers repeat it."""
_RESOURCE: Final = re.compile(r"patient/(\*|[A-Z][A-Za-z]{1,63})\.(read|write|\*|c?r?u?d?s?)(?:\?(\S+))?")

_SYSTEM: Final = re.compile(r"system/(\*|[A-Z][A-Za-z]{1,63})\.(read|\*|rs|r|s)")

TokenFilter = tuple[str, str, str]
"""A granular restriction: (search parameter, system or "" for any, code)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One resource scope, cut to what reads: the type (`*` for all), `r` and/or `s`, and its restriction if any."""

    text: str
    type: str
    permissions: frozenset[str]
    only: TokenFilter | None = None


def read_scope(text: str) -> Scope | None:
    """A `patient/` scope in so far as it permits reading; None for any other, or one that cannot be kept.

    `patient/X.read` is `.rs`, `patient/X.*` is `.cruds`, of which this server grants `.read` and `.rs`.
    """
    match = _RESOURCE.fullmatch(text)
    if not match:
        return None
    kind, asked, query = match.groups()
    if asked in ("read", "*"):
        permissions, suffix = frozenset("rs"), "read"
    else:
        permissions = frozenset(asked) & frozenset("rs")
        suffix = "".join(letter for letter in "rs" if letter in permissions)
    if not permissions or asked == "write":
        return None
    only: TokenFilter | None = None
    if query:
        pairs = parse_qsl(query, keep_blank_values=True)
        if len(pairs) != 1 or pairs[0][0] not in ("category", "code") or not pairs[0][1]:
            return None
        value = SOCIAL_HISTORY if pairs[0][1] == SOCIAL_HISTORY_MALFORMED else pairs[0][1]
        system, _, code = value.rpartition("|")
        only = (pairs[0][0], system, code)
    return Scope(f"patient/{kind}.{suffix}" + (f"?{query}" if query else ""), kind, permissions, only)


def grantable(requested: str, profile: Profile) -> list[str]:
    """Of the scopes asked for, those that this server can grant, in their order and without repeats."""
    kept: dict[str, None] = {}
    for text in requested.split():
        scope = read_scope(text)
        if scope:
            is_first = scope.text.endswith(".read")
            if ("v1" if is_first else "v2") not in profile.scope_versions:
                continue
            if scope.type != "*" or profile.wildcards != "refused":
                kept[as_written(scope.text, profile)] = None
        elif text in CONTEXT_SCOPES:
            kept[text] = None
    return list(kept)


def system_scopes(requested: str, profile: Profile) -> list[str]:
    """Of the scopes that a system asks for, those that this server can grant: those that read."""
    kept: dict[str, None] = {}
    for text in requested.split():
        match = _SYSTEM.fullmatch(text)
        if match and ("v1" if match[2] in ("read", "*") else "v2") in profile.scope_versions:
            kept[f"system/{match[1]}.{'read' if match[2] in ('read', '*') else match[2]}"] = None
    return list(kept)


def as_written(scope: str, profile: Profile) -> str:
    """A scope as this vendor spells it."""
    return scope.replace(SOCIAL_HISTORY, SOCIAL_HISTORY_MALFORMED) if profile.social_history_malformed else scope


def narrowed(held: str, requested: str, profile: Profile) -> str | None:
    """The scopes of a refresh that asks for fewer; None when it asks for more (RFC 6749 §6)."""
    wanted = grantable(requested, profile)
    return " ".join(wanted) if wanted and set(wanted) <= set(held.split()) else None


@dataclass(frozen=True, slots=True)
class Access:
    """What the bearer of a token may see: one patient's compartment, in so far as the scopes go.

    `everyone`: the whole server, of whichever patient.
    """

    patient: str
    scopes: tuple[Scope, ...]
    everyone: bool = False

    def permits(self, type_name: str, permission: str) -> list[TokenFilter] | None:
        """None: not permitted. Empty: all of the type. Else only what one of the filters finds."""
        filters: list[TokenFilter] = []
        found = False
        for scope in self.scopes:
            if permission in scope.permissions and scope.type in ("*", type_name):
                if scope.only is None:
                    return []
                filters.append(scope.only)
                found = True
        return filters if found else None


def access_of(patient: str, scopes: Iterable[str]) -> Access:
    """The access that a grant gives."""
    read = (read_scope(text) for text in scopes)
    return Access(patient, tuple(scope for scope in read if scope))


OPEN: Final = Access("", (Scope("patient/*.read", "*", frozenset("rs")),), everyone=True)
"""What a server lets out that asks nobody to sign in."""
