"""The same rules as FHIRPath, for the `where` of the published ViewDefinitions of Observations.

A view knows no route, so these are the rules of those that bring FHIR. What one of Health Connect's rules places stands
in that table and in no other; the declared rules look at the rest. Lists of words and codes are constants of the view,
each one text, for a list of thousands is no union of as many terms.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from transforms.classification.declaration import Kind, declaration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_NAME = re.compile(r"%([a-z]\w*)")


def where_of(table: str, beside: Collection[str] = ()) -> list[dict[str, str]]:
    """The `where` of the view of a table of Observations: each `path` must be true. Other tables have none.

    Args:
        table: the category.
        beside: for a table beside the categories, the kinds of Observations in it: none of Health Connect's.
    """
    kinds = declaration().kinds
    if beside:
        return _where_beside(beside)
    place = next((place for place, kind in enumerate(kinds) if kind.category == table), None)
    if place is None:
        return []
    kind = kinds[place]
    clauses = [
        {"path": f"({_exact(before)}).not()", "description": f"Health Connect's rules put {before.name} first."}
        for before in kinds[:place]
        if _has_rule(before)
    ]
    later = [_exact(after) for after in kinds[place + 1 :] if _has_rule(after)]
    left = [*(f"({each}).not()" for each in later), f"({_declared(place)})"]
    clauses.append(
        {
            "path": f"({_exact(kind)}) or ({' and '.join(left)})",
            "description": (
                f"{kind.name}: by Health Connect's rules; where these say nothing, by its category in other words, or "
                "by its LOINC code where the category says nothing."
            ),
        }
    )
    return clauses


def _where_beside(beside: Collection[str]) -> list[dict[str, str]]:
    """Nothing that comes first is named; then each kind of the table where none of another that goes before it is."""
    kinds = declaration().kinds
    first = next(place for place, kind in enumerate(kinds) if kind.name in beside)
    clauses = [
        {"path": f"({_exact(kind)}).not()", "description": f"Health Connect's rules put {kind.name} first."}
        for kind in kinds
        if _has_rule(kind)
    ]
    clauses += [
        {"path": f"{_said(kind)}.not()", "description": f"Its category says {kind.name}, which goes before."}
        for kind in kinds[:first]
    ]
    named: list[str] = []
    others: list[str] = []
    for own, run in groupby(kinds[first:], lambda kind: kind.name in beside):
        said = [_said(kind) for kind in run]
        if own:
            named.append(f"({' and '.join(['(' + ' or '.join(said) + ')', *others])})")
        else:
            others += [f"{each}.not()" for each in said]
    named += [_silent(place) for place, kind in enumerate(kinds) if kind.name in beside and kind.class_loinc]
    told = f"{', '.join(beside)}: by its category, or by its LOINC code where the category says nothing."
    return [*clauses, {"path": " or ".join(named), "description": told}]


def _declared(place: int) -> str:
    """Whether a category, or a LOINC code where the category says nothing, names the kind at that place first."""
    kinds = declaration().kinds
    said = [_said(kinds[place]), *(f"{_said(before)}.not()" for before in kinds[:place])]
    return f"({' and '.join(said)}) or {_silent(place)}"


def _silent(place: int) -> str:
    """Whether the category says nothing, and the class of a LOINC code names the kind at that place first."""
    kinds = declaration().kinds
    earlier = (f"{_loinc(f'class_{_name(before)}')}.not()" for before in kinds[:place] if before.class_loinc)
    return f"({' and '.join([f'{_said_at_all()}.not()', _loinc(f'class_{_name(kinds[place])}'), *earlier])})"


def constants_of(table: str, beside: Collection[str] = ()) -> list[dict[str, str]]:
    """The `constant` entries that `where_of` needs beside it in the view, by name."""
    named = {name for clause in where_of(table, beside) for name in _NAME.findall(clause["path"])}
    return [{"name": name, "valueString": text} for name, text in sorted(_constants().items()) if name in named]


@cache
def _constants() -> Mapping[str, str]:
    known = declaration()
    found: dict[str, Iterable[str]] = {"loinc_systems": known.loinc_systems}
    found["code_any"] = [code for kind in known.kinds for code in kind.health_connect_loinc]
    found["word_any"] = [word for kind in known.kinds for word in kind.words]
    for kind in known.kinds:
        found[f"code_{_name(kind)}"] = kind.health_connect_loinc
        found[f"word_{_name(kind)}"] = kind.words
        found[f"class_{_name(kind)}"] = kind.class_loinc
        for number, coded in enumerate(known.coded, 1):
            found[f"category{number}_{_name(kind)}"] = coded.kinds.get(kind.name, ())
    for number, coded in enumerate(known.coded, 1):
        found[f"category{number}_systems"] = coded.systems
        found[f"category{number}_any"] = [code for codes in coded.kinds.values() for code in codes]
    return {name: f"|{'|'.join(sorted(members))}|" for name, members in found.items() if members}


def _name(kind: Kind) -> str:
    return kind.name.replace("-", "_")


def _has_rule(kind: Kind) -> bool:
    return bool(kind.health_connect_loinc or kind.health_connect_categories)


def _exact(kind: Kind) -> str:
    """Whether a rule of Health Connect names the kind."""
    known = declaration()
    parts = []
    if kind.health_connect_loinc:
        loinc = f"system = '{known.code_system}'"
        parts.append(_some("code.coding", loinc, _among("code", f"code_{_name(kind)}")))
    system = f"system = '{known.category_system}'"
    parts += [_some("category.coding", system, f"code = '{code}'") for code in sorted(kind.health_connect_categories)]
    return " or ".join(parts)


def _said(kind: Kind) -> str:
    """Whether a LOINC code of Health Connect's, its system written another way, or a category names the kind."""
    coded = [number for number, each in enumerate(declaration().coded, 1) if kind.name in each.kinds]
    return _named(_name(kind), coded=coded, has_code=bool(kind.health_connect_loinc))


def _said_at_all() -> str:
    """Whether that, or a category, names any kind."""
    return _named("any", coded=range(1, len(declaration().coded) + 1), has_code=True)


def _named(what: str, *, coded: Iterable[int], has_code: bool) -> str:
    parts = [_loinc(f"code_{what}")] if has_code else []
    parts += [_some("category.coding", _among(_word(element), f"word_{what}")) for element in ("code", "display")]
    parts.append(_some("category", _among(_word("text"), f"word_{what}")))
    for number in coded:
        system = _among("system.trim().lower()", f"category{number}_systems")
        code = _among("code.trim().lower()", f"category{number}_{what}")
        parts.append(_some("category.coding", system, code))
    return f"({' or '.join(parts)})"


def _loinc(codes: str) -> str:
    return _some("code.coding", _among("system.trim().lower()", "loinc_systems"), _among("code.trim()", codes))


def _some(items: str, *criteria: str) -> str:
    return f"{items}.where({' and '.join(criteria)}).exists()"


def _word(element: str) -> str:
    return f"{element}.trim().lower().replace(' ', '-').replace('_', '-')"


def _among(value: str, constant: str) -> str:
    """Whether a text is one of a constant's, which stand between bars: one that holds a bar is none of them."""
    return f"%{constant}.contains('|' & {value}.replace('|', '!') & '|')"
