"""Which column shows each element that US Core asks for: a page made from the declarations alone."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from transforms.tables.datatypes import snake
from transforms.tables.declaration import TableError
from transforms.tables.statement import own_columns
from transforms.tables.table import all_tables
from transforms.tables.views import NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transforms.tables.declaration import Declared
    from transforms.tables.table import Table

_HEAD = """\
# What US Core asks for

Generated from `schemas/us_core_must_support.json` and `schemas/tables/*.json` by `python -m transforms.tables`; a test
compares it. Every element that US Core (6.1.0 to 9.0.0) marks as must-support in a profile, and the columns that show
it. A `component` is a row of its own, by its `component_number`. The [dictionary](dictionary.md) says what each column
is.
"""
MORE = "…"
MOST = 4
"""Columns that are named for one element; the dictionary has the others, which begin alike."""

_COMMON = {
    "code": ("code", "display", "text", "codings"),
    "status": ("status",),
    "error": ("is_entered_in_error", "is_negated"),
    "effective": ("effective_start", "effective_end"),
    "end": ("effective_end",),
    "recorded": ("recorded_at",),
    "encounter": ("encounter_key", "encounter_start"),
    "subject": ("person_key",),
}
_ALWAYS = {"meta": ("last_updated",), "meta.lastUpdated": ("last_updated",)}


def must_support_markdown() -> str:
    """The whole page, `docs/must_support.md`.

    Raises:
        TableError: an element has neither a column nor a reason.
    """
    told = json.loads(files("schemas").joinpath("us_core_must_support.json").read_text(encoding="utf-8"))
    parts = [_HEAD]
    for profile, entry in told["profiles"].items():
        if "table" not in entry:
            elements = ", ".join(f"`{each}`" for each in entry["elements"])
            parts.append(f"## {profile} ({entry['resource']})\n\n{entry['reason']} Elements: {elements}.\n")
            continue
        rows = "\n".join(f"| `{each}` | {shown(entry, each)} |" for each in entry["elements"])
        parts.append(f"## {profile} → {entry['table']}\n\n| element | columns |\n|---|---|\n{rows}\n")
    return "\n".join(parts).rstrip() + "\n"


def shown(entry: dict[str, Any], element: str) -> str:
    """The columns that show an element of a profile, or why none does.

    Raises:
        TableError: there is neither.
    """
    for name, reason in entry.get("reasons", {}).items():
        if element == name or element.startswith((f"{name}.", f"{name}:")):
            return f"none: {reason}"
    named = entry.get("columns", {}).items()
    found = [column for name, column in named if element == name or element.startswith(f"{name}.")]
    found = list(dict.fromkeys([*found, *_columns(entry["table"], entry["resource"], element)]))
    if not found:
        raise TableError(f"{entry['table']}: {entry['resource']}.{element} has no column, and no reason why")
    shown = [f"`{each}`" for each in found if not each.endswith(MORE)]
    return ", ".join([*shown, *([MORE] if len(shown) < len(found) else [])])


def _columns(name: str, resource: str, element: str) -> Iterator[str]:
    """The columns of a table and its child tables that show an element of a resource."""
    asked = _plain(element)
    if asked in _ALWAYS:
        yield from _ALWAYS[asked]
    for each in all_tables():
        if name in (each.name, each.parent):
            yield from _columns_of(each, resource, asked, prefix="" if each.name == name else f"{each.name}.")


def _columns_of(of: Table, resource: str, asked: str, prefix: str) -> Iterator[str]:
    declaration = of.declaration
    base = declaration.each.get(resource)
    if base and _within(asked, base):
        if asked == base:
            yield f"{prefix}*"
            return
        asked = asked.removeprefix(f"{base}.")
    elif base:
        return
    if declaration.rows and asked == declaration.rows:
        yield NUMBER
        return
    in_row = bool(declaration.rows) and asked.startswith(f"{declaration.rows}.")
    asked = asked.removeprefix(f"{declaration.rows}.") if in_row else asked
    for role, declared in declaration.common.items():
        if not base and _reads(declared, resource, asked) and (not in_row or declared.in_row):
            yield from _COMMON[role]
            if role in {"effective", "end"}:
                base_name = _plain(declared.view_columns(resource)[0].path).partition(".")[0]
                own = [column.name for column in of.columns if column.name.startswith(f"{snake(base_name)}_")]
                yield from _few(own)
    for declared in declaration.columns:
        if _reads(declared, resource, asked) and (not in_row or declared.in_row):
            yield from (prefix + each for each in _few(own_columns(declaration, declared)))


def _few(names: Sequence[str]) -> list[str]:
    return [*names[:MOST], *([MORE] if len(names) > MOST else [])]


def _reads(declared: Declared, resource: str, asked: str) -> bool:
    return any(
        _within(asked, _plain(column.path)) or _within(_plain(column.path), asked)
        for column in declared.view_columns(resource)
    )


def _within(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.")


def _plain(path: str) -> str:
    """A path of FHIRPath, or of a profile, as the names of its elements: no slice, no type, no function."""
    path = re.sub(r"\.?\b(?:ofType|first|where|exists)\([^()]*(?:\([^()]*\)[^()]*)*\)", "", path)
    path = re.sub(r":[\w-]+", "", path).replace("[x]", "")
    return re.sub(r"\b(value|effective)(?:Quantity|CodeableConcept|DateTime|Period)\b", r"\1", path)
