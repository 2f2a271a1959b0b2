"""Which scopes to ask a provider for: those that read, in the words that it knows (SMART App Launch 2.2 §3).

Nothing here can ask for more than reading, whatever an operator or a provider writes down.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from charthouse.partners.search import REFERENCED_TYPES, compartment_types

if TYPE_CHECKING:
    from collections.abc import Collection

    from charthouse.partners.discovery import SmartConfiguration

NEEDED: Final = ("launch/patient", "offline_access")
"""Asked for always: whose records they are, and a grant that lasts. Epic knows `offline_access` without listing it."""
IDENTITY: Final = ("openid", "fhirUser")
"""Who signed in. Left out where a provider lists its scopes without them: some refuse what they do not know."""
_SCOPE: Final = re.compile(
    r"(?P<who>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]*)\.(?P<access>\*|read|write|[cruds]+)(?P<query>\?.*)?"
)


def scopes_to_request(configuration: SmartConfiguration, *, offered: Collection[str] = ()) -> str:
    """The read-only scopes to ask for: v2 `.rs` where the provider says it knows them, else v1 `.read`.

    The wildcard where the provider lists it (Oracle Health refuses it and lists none); otherwise type by type, of those
    it lists if it lists any, and otherwise of `offered`, the types that its CapabilityStatement names. A type that is
    listed by category alone is asked for by category, as the provider writes it.
    """
    listed = configuration.scopes_supported
    openly = "sso-openid-connect" in configuration.capabilities or not listed
    context = [NEEDED[0], *(scope for scope in IDENTITY if openly or scope in listed), NEEDED[1]]
    access = "rs" if configuration.knows_v2 else "read"
    whole, parts = _listed_types(listed)
    if whole.get("*") == "rs":
        return " ".join([*context, f"patient/*.{access}"])
    kinds = sorted({*compartment_types(), *REFERENCED_TYPES})
    asked = []
    for kind in kinds:
        if kind in whole:
            asked.append(f"patient/{kind}.{whole[kind] if access == 'rs' else access}")
        else:
            asked += parts.get(kind, [])
    if not asked:
        asked = [f"patient/{kind}.{access}" for kind in kinds if not offered or kind in offered]
    return " ".join([*context, *asked])


def read_only(scope: str) -> str:
    """A scope text without anything that writes: `.cruds` becomes `.rs`, `.*` becomes `.read`, `.write` is left out."""
    kept = []
    for word in scope.split():
        match = _SCOPE.fullmatch(word)
        if match is None:
            kept += [] if re.match(r"(patient|user|system)/", word) else [word]
            continue
        access = {"*": "read", "read": "read", "write": ""}.get(
            match["access"], "".join(letter for letter in match["access"] if letter in "rs")
        )
        if access and match["who"] != "system":
            kept.append(f"{match['who']}/{match['type']}.{access}{match['query'] or ''}")
    return " ".join(dict.fromkeys(kept))


def _listed_types(listed: Collection[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """What a provider lists for patients to read: types with what they permit of `rs`, and scopes that narrow."""
    letters: dict[str, set[str]] = {}
    parts: dict[str, list[str]] = {}
    for scope in sorted(listed):
        match = _SCOPE.fullmatch(scope)
        if match is None or match["who"] != "patient":
            continue
        reads = {"*": "rs", "read": "rs", "write": ""}.get(match["access"], match["access"])
        if match["query"] is None and set(reads) & set("rs"):
            letters.setdefault(match["type"], set()).update(reads)
        elif match["query"] is not None and "s" in reads:
            parts.setdefault(match["type"], []).append(read_only(scope))
    return {kind: "".join(letter for letter in "rs" if letter in known) for kind, known in letters.items()}, parts
