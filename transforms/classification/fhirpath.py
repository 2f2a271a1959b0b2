"""The same rules as FHIRPath, for the `where` of the published ViewDefinitions of Observations.

A view knows no route, so these are the rules of those that bring FHIR. What one of Health Connect's rules places stands
in that table and in no other; the declared rules look at the rest.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from transforms.classification.declaration import Kind, declaration

if TYPE_CHECKING:
    from collections.abc import Iterable

# In a list of words that is one text, a word stands between bars; one that holds a bar itself is none of them.
_BAR = "replace('|', '!')"


@cache
def _kinds() -> tuple[Kind, ...]:
    return declaration().kinds


def where_of(table: str) -> list[dict[str, str]]:
    """The `where` of the view of a table of Observations: each `path` must be true. Other tables have none."""
    place = next((place for place, kind in enumerate(_kinds()) if kind.category == table), None)
    if place is None:
        return []
    kind = _kinds()[place]
    clauses = [
        {"path": f"({_exact(before)}).not()", "description": f"Health Connect's rules put {before.name} first."}
        for before in _kinds()[:place]
        if _has_rule(before)
    ]
    later = [_exact(after) for after in _kinds()[place + 1 :] if _has_rule(after)]
    earlier = [_declared(before) for before in _kinds()[:place]]
    said = " and ".join([_declared(kind), *(f"({each}).not()" for each in earlier)])
    by_class = [f"{_of_class(each)}.not()" for each in _kinds()[:place] if each.class_loinc]
    silent = " and ".join([*(f"({_declared(each)}).not()" for each in _kinds()), _of_class(kind), *by_class])
    left = " and ".join([*(f"({each}).not()" for each in later), f"(({said}) or ({silent}))"])
    clauses.append(
        {
            "path": f"({_exact(kind)}) or ({left})",
            "description": (
                f"{kind.name}: by Health Connect's rules; where these say nothing, by its category in other words, or "
                "by its LOINC code where the category says nothing."
            ),
        }
    )
    return clauses


def _has_rule(kind: Kind) -> bool:
    return bool(kind.health_connect_loinc or kind.health_connect_categories)


def _exact(kind: Kind) -> str:
    """Whether a rule of Health Connect names the kind."""
    known = declaration()
    parts = []
    if kind.health_connect_loinc:
        parts.append(_some("code.coding", f"system = '{known.code_system}'", _among("code", kind.health_connect_loinc)))
    if kind.health_connect_categories:
        system = f"system = '{known.category_system}'"
        parts.append(_some("category.coding", system, _among("code", kind.health_connect_categories)))
    return " or ".join(parts)


def _declared(kind: Kind) -> str:
    """Whether a LOINC code of Health Connect's, its system written another way, or a category names the kind."""
    parts = []
    if kind.health_connect_loinc:
        parts.append(_loinc(kind.health_connect_loinc))
    parts += [_some("category.coding", _among(_word(element), kind.words)) for element in ("code", "display")]
    parts.append(_some("category", _among(_word("text"), kind.words)))
    for coded in declaration().coded:
        if kind.name in coded.kinds:
            system = _among("system.trim().lower()", coded.systems)
            parts.append(_some("category.coding", system, _among("code.trim().lower()", coded.kinds[kind.name])))
    return "(" + " or ".join(parts) + ")"


def _of_class(kind: Kind) -> str:
    return _loinc(kind.class_loinc)


def _loinc(codes: Iterable[str]) -> str:
    system = _among("system.trim().lower()", declaration().loinc_systems)
    return _some("code.coding", system, _among("code.trim()", codes))


def _some(items: str, *criteria: str) -> str:
    return f"{items}.where({' and '.join(criteria)}).exists()"


def _word(element: str) -> str:
    return f"{element}.trim().lower().replace(' ', '-').replace('_', '-')"


def _among(value: str, members: Iterable[str]) -> str:
    """Whether a text is one of these: they stand as one text, for lists of thousands are no union of as many terms."""
    return f"'|{'|'.join(sorted(members))}|'.contains('|' & {value}.{_BAR} & '|')"
