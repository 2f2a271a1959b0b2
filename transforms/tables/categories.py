"""Which category table an Observation belongs to: one rule, from `schemas/codes/observation_categories.json`.

It is written twice from the same data: as the `where` of the published views, and as SQL that decides once for all
tables of a build. A test holds one against the other.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from transforms.tables.text import literal

_SPEC = json.dumps(
    {
        "code": {"coding": [{"system": "VARCHAR", "code": "VARCHAR"}]},
        "category": [{"coding": [{"system": "VARCHAR", "code": "VARCHAR"}]}],
    }
)


@cache
def _content() -> dict[str, Any]:
    text = files("schemas").joinpath("codes", "observation_categories.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def constants() -> list[dict[str, str]]:
    """The constants that the conditions of a view name."""
    content = _content()
    return [
        {"name": "loinc", "valueString": content["code_system"]},
        {"name": "category", "valueString": content["category_system"]},
    ]


def where(category: str) -> list[dict[str, str]]:
    """The conditions of a view: the rule of the category, and that no earlier one is met, for the first decides."""
    conditions: list[dict[str, str]] = []
    for rule in _content()["rules"]:
        if rule["table"] == category:
            return [{"path": _path(rule), "description": f"The rule of {category}."}, *conditions]
        conditions.append(
            {"path": f"({_path(rule)}).not()", "description": f"The rule of {rule['table']} comes first."}
        )
    msg = f"there is no category {category}"
    raise ValueError(msg)


def parsed_sql(resource: str) -> str:
    """SQL of what the rule reads of a resource's JSON, to be had once a row as `c`."""
    return f"TRY(from_json({resource}, {literal(_SPEC)}))"


def category_sql(parsed: str = "c") -> str:
    """SQL of the table that an Observation belongs to; NULL for one of no category."""
    content = _content()
    cases = []
    for rule in content["rules"]:
        parts = []
        if rule["loinc"]:
            parts.append(_any(f"{parsed}.code.coding", content["code_system"], rule["loinc"]))
        if rule["categories"]:
            flat = f"flatten(list_transform({parsed}.category, lambda g: g.coding))"
            parts.append(_any(flat, content["category_system"], rule["categories"]))
        cases.append(f"WHEN {' OR '.join(parts)} THEN {literal(rule['table'])}")
    return f"CASE {' '.join(cases)} END"


def _any(codings: str, system: str, codes: list[str]) -> str:
    listed = ", ".join(map(literal, codes))
    met = f"list_filter({codings}, lambda p: p.code IN ({listed}) AND p.system = {literal(system)})"
    return f"coalesce(len({met}) > 0, false)"


def _path(rule: dict[str, Any]) -> str:
    parts = []
    if rule["loinc"]:
        codes = " or ".join(f"code = '{code}'" for code in rule["loinc"])
        parts.append(f"code.coding.where(system = %loinc and ({codes})).exists()")
    if rule["categories"]:
        codes = " or ".join(f"code = '{code}'" for code in rule["categories"])
        parts.append(f"category.coding.where(system = %category and ({codes})).exists()")
    return " or ".join(parts)
