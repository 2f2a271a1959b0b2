"""What a grant really permits, in the ten categories that people know (SMART App Launch 2.2 §3).

People can refuse each type, and each category of Observation and Condition (ONC §170.315(g)(10)), and providers may
grant less than was asked: so what was granted is read, never what was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from charthouse.partners.scopes import Access, Scopes, parse_scopes
from charthouse.partners.search import CATEGORIES, REFERENCED_TYPES, compartment_types
from transforms.health_connect import CATEGORIES as OF_PHONE
from transforms.health_connect import fhir_types, permission_of, type_of_permission
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WHOLE: Final = Access(search=True, read=True)
Permission = Literal["permitted", "partly", "not_permitted"]

NARROWED: Final[Mapping[str, tuple[str, ...]]] = {
    "lab_results": ("laboratory",),
    "vitals": ("vital-signs",),
    "social_history": ("social-history",),
    # Known by its codes, whatever its category: US Core leaves the category of a pregnancy status out.
    "pregnancy": (),
    "conditions": CATEGORIES["Condition"],
}
"""Tables that show a part of their type: the categories that hold all of it. Others need their type whole."""
PHONE: Final = permission_of("")
"""How the permissions of a phone begin."""
WORDS: Final[Mapping[Permission, str]] = {
    "permitted": "permitted",
    "partly": "permitted in part",
    "not_permitted": "not permitted",
}


@dataclass(frozen=True, slots=True)
class Permissions:
    """What may be read. `types` holds the resource types that may be; `categories` all ten tables, by name."""

    types: Mapping[str, Access]
    categories: Mapping[str, Permission]
    patient_readable: bool
    grants_nothing: bool

    def named(self, permission: Permission) -> list[str]:
        """The categories of one kind, in words for people."""
        return [name.replace("_", " ") for name, given in self.categories.items() if given == permission]

    def sentence(self) -> str:
        """All of it in a sentence or two for people."""
        if self.grants_nothing:
            return "Nothing was granted."
        parts = []
        for permission, words in WORDS.items():
            found = self.named(permission)
            if found:
                parts.append(f"{words}: {', '.join(found)}")
        said = "; ".join(parts)
        missing = "" if self.patient_readable else " The personal details (Patient) are missing."
        return f"{said[:1].upper()}{said[1:]}.{missing}"

    def as_data(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "categories": dict(self.categories),
            "types": sorted(self.types),
            "patient_readable": self.patient_readable,
        }


def permitted(granted_scopes: str | None) -> Permissions:
    """What a granted scope text permits. None: nobody said, so nothing is known to be refused.

    An empty text, and one without a single scope of a resource, grants nothing: a provider that gives other scopes than
    were asked for has to say which (RFC 6749 §3.3).
    """
    if granted_scopes is not None and granted_scopes.startswith(PHONE):
        return _permitted_by_phone(granted_scopes)
    scopes = parse_scopes(granted_scopes or "")
    nothing = granted_scopes is not None and not any(grant.read or grant.search for grant in scopes.grants)
    if nothing:
        return Permissions({}, dict.fromkeys(_tables(), "not_permitted"), patient_readable=False, grants_nothing=True)
    kinds = sorted({*compartment_types(), *REFERENCED_TYPES})
    access = {kind: scopes.access(kind) for kind in kinds}
    return Permissions(
        types={kind: given for kind, given in access.items() if given.search or given.read},
        categories={name: _permission(name, types, scopes) for name, types in _tables().items()},
        patient_readable=access["Patient"].read,
        grants_nothing=False,
    )


def scopes_of_phone(medical_types: Iterable[str]) -> str:
    """What a phone lets us read, as a link keeps it: the permissions by Android's names, by blanks."""
    return " ".join(permission_of(name) for name in sorted(medical_types))


def _permitted_by_phone(granted: str) -> Permissions:
    given = {name for name in map(type_of_permission, granted.split()) if name is not None}
    return Permissions(
        types={kind: _WHOLE for name in given for kind in fhir_types(name)},
        categories={
            table: "permitted" if OF_PHONE.get(table) in given else "not_permitted" for table in sorted(_tables())
        },
        patient_readable="PERSONAL_DETAILS" in given,
        grants_nothing=not given,
    )


def _permission(table: str, types: tuple[str, ...], scopes: Scopes) -> Permission:
    """Of a table with several types, the one that US Core requires (the first) decides whether it is whole."""
    unfiltered = Scopes(tuple(grant for grant in scopes.grants if not grant.filtered))
    if (unfiltered.grants or not scopes.grants) and _of_type(table, unfiltered.access(types[0])) == "permitted":
        return "permitted"
    found = [_of_type(table, scopes.access(kind)) for kind in types]
    return "partly" if any(permission != "not_permitted" for permission in found) else "not_permitted"


def _of_type(table: str, access: Access) -> Permission:
    if not access.search:
        return "not_permitted"
    if access.categories is None:
        return "permitted"
    wanted = NARROWED.get(table)
    codes = {category.rpartition("|")[2] for category in access.categories}
    if wanted and codes.isdisjoint(wanted):
        return "not_permitted"
    return "permitted" if wanted and codes.issuperset(wanted) else "partly"


@cache
def _tables() -> Mapping[str, tuple[str, ...]]:
    """The category tables and their types; of several, the one of orders and requests first."""
    return {
        table.name: tuple(sorted(table.resource_types, key=lambda kind: (not kind.endswith("Request"), kind)))
        for table in tables()
    }
