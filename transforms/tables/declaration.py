"""The declarations of the tables, `schemas/tables/<table>.json`: which elements of which resources.

A declaration names elements as FHIR R4 does (`onset[x]`, `hospitalization.admitSource`); types and cardinality come
from R4 itself. Its parts:

- `resources`: the types that the rows are made from.
- `rows`: an element whose items are rows too, beside the resource's own row (`component`).
- `each`: for a child table, the element whose items are the rows, by type; `of` names the parent table.
- `category`: of a table of Observations, the name under which `transforms.tables.references` picks them.
- `beside`: the table is none of the ten categories, but stands beside them.
- `kinds`: the kinds of Observations (`schemas/categories`) that no category takes and this table beside them does.
- `inner`: its Observations are made of parts of other resources (`transforms.tables.inner`), so it has no view.
- `common`: what feeds the columns that every table begins with: elements as below, or a `path` and its `type`.
- `negated`: what says that something is not so.
- `columns`, `row_columns`: what is the table's own, of the resource and of the row. `element` is a path, a list of
  paths of which the first that says something counts, or a path for each type. `path` and `type` stand for an element
  that FHIRPath must pick; `also` are paths by other types, for one that some senders write as such.
- `like`: another file, in `schemas/tables/shared`, that this one completes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir.values import Type
from transforms.tables.datatypes import snake
from transforms.tables.systems import PREFERRED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transforms.fhir_r4 import Element

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
COMMON = ("code", "status", "error", "effective", "end", "recorded", "encounter", "subject")
SIDES = frozenset({"status", "effective", "end", "recorded", "value"})
"""What may be missing with a reason beside it, in the extensions of a primitive."""


class TableError(ValueError):
    """A declaration that cannot be a table. Names the file and the column."""


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """A column of a view: where it reads, its FHIR type, whether it is a list, and the content of a BackboneElement.

    `steps` are the JSON properties on the way: where one of them is missing there is nothing (none: there may be).
    """

    name: str
    path: str
    type: str
    many: bool
    within: Type
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared element: its alternatives, each a column of the view for every type that it may have.

    `alternatives` is, for each resource type, a tuple of tuples of view columns.
    """

    name: str
    about: str
    in_row: bool
    many: bool
    choice: bool
    alternatives: Mapping[str, tuple[tuple[ViewColumn, ...], ...]]
    listed: str | None = None
    prefer: tuple[str, ...] = PREFERRED
    first_row_only: bool = False

    def view_columns(self, resource: str) -> tuple[ViewColumn, ...]:
        """What the view of a resource type reads for it."""
        return tuple(column for alternative in self.alternatives.get(resource, ()) for column in alternative)


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """A table as it is declared."""

    name: str
    title: str
    about: str
    resources: tuple[str, ...]
    rows: str | None
    each: Mapping[str, str]
    of: str | None
    category: str | None
    common: Mapping[str, Declared]
    columns: tuple[Declared, ...]
    systems: tuple[str, ...]
    prefer: tuple[str, ...]
    negated: Mapping[str, Any] = field(default_factory=dict)
    record_types: Mapping[str, str] = field(default_factory=dict)
    beside: bool = False
    kinds: tuple[str, ...] = ()
    inner: bool = False

    @property
    def declared(self) -> tuple[Declared, ...]:
        """Everything that the views read, the common columns first."""
        return (*self.common.values(), *self.columns)


def read_declarations() -> dict[str, Declaration]:
    """All declarations, by the name of their table.

    Raises:
        TableError: for one that does not fit.
    """
    found = {}
    for entry in sorted(files("schemas").joinpath("tables").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            name = entry.name.removesuffix(".json")
            found[name] = read_declaration(name, json.loads(entry.read_text(encoding="utf-8")))
    return found


def read_declaration(name: str, content: Mapping[str, Any]) -> Declaration:
    """One declaration, held against FHIR R4."""
    if "like" in content:
        shared = json.loads(
            files("schemas").joinpath("tables", "shared", f"{content['like']}.json").read_text(encoding="utf-8")
        )
        own = {key: value for key, value in content.items() if key not in {"like", "columns", "row_columns"}}
        both = {key: [*shared.get(key, []), *content.get(key, [])] for key in ("columns", "row_columns")}
        content = {**shared, **own, **both}
    resources = tuple(content["resources"])
    each = dict(content.get("each", {}))
    rows = content.get("rows")
    prefer = tuple(content.get("prefer", PREFERRED))
    reader = _Reader(name, resources, each, rows)
    common = {
        key: reader.declared(
            {"name": key, "is": key, **_entry(content["common"][key])},
            in_row=key == "code" and rows is not None,
            prefer=prefer,
        )
        for key in COMMON
        if key in content["common"]
    }
    columns = [reader.declared(entry, in_row=bool(each), prefer=PREFERRED) for entry in content.get("columns", ())]
    columns += [reader.declared(entry, in_row=True, prefer=PREFERRED) for entry in content.get("row_columns", ())]
    return Declaration(
        name=name,
        title=content["title"],
        about=content["description"],
        resources=resources,
        rows=rows,
        each=each,
        of=content.get("of"),
        category=content.get("category"),
        common=common,
        columns=tuple(columns),
        systems=tuple(content.get("systems", ())),
        prefer=prefer,
        negated=content.get("negated", {}),
        record_types=content.get("record_types", {}),
        beside=content.get("beside", False),
        kinds=tuple(content.get("kinds", ())),
        inner=content.get("inner", False),
    )


def _entry(common: Any) -> dict[str, Any]:
    """What feeds a common column, as the entry of a column says it: an element, or a path that FHIRPath must pick."""
    return common if isinstance(common, dict) and "path" in common else {"element": common}


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    types: tuple[str, ...]
    many: bool
    choice: bool
    within: Type | None
    steps: tuple[str, ...]
    json_names: Mapping[str, str] = field(default_factory=dict)
    """FHIR type → JSON property, for the last step of a path."""


_PICKED = re.compile(r"([a-z]\w*)(?:[.(]\D.*?)(?:\.(\w+)\.ofType\((\w+)\))?\.first\(\)")


def _picked(path: str) -> tuple[str, ...]:
    """Of an expression that picks an item out of an element: that element, and the choice that it ends with."""
    found = _PICKED.fullmatch(path)
    if found is None:
        return ()
    element, choice, kind = found.groups()
    return (element, f"{choice}{kind[0].upper()}{kind[1:]}") if choice else (element,)


@dataclass(frozen=True, slots=True)
class _Reader:
    table: str
    resources: tuple[str, ...]
    each: Mapping[str, str]
    rows: str | None

    def declared(self, entry: Mapping[str, Any], *, in_row: bool, prefer: tuple[str, ...]) -> Declared:
        element = entry.get("element", entry.get("path"))
        by_type = element if isinstance(element, dict) else dict.fromkeys(self.resources, element)
        in_row = in_row and not entry.get("of_resource", False)
        found: dict[str, list[_Found]] = {}
        for resource, paths in by_type.items():
            if resource not in self.resources:
                raise TableError(f"{self.table}: {element}: there is no {resource} here")
            for path in paths if isinstance(paths, list) else [paths]:
                found.setdefault(resource, []).append(self.find(resource, path, entry, in_row=in_row))
        everything = [each for several in found.values() for each in several]
        name = entry.get("name") or self.name_of(element)
        if not _NAME.fullmatch(name) or not entry.get("is"):
            raise TableError(f"{self.table}: {name}: a column has a name in lower case and says what it is")
        kinds = {kind for each in everything for kind in each.types}
        if len({each.many for each in everything}) != 1:
            raise TableError(f"{self.table}: {name}: it repeats in one resource and not in another")
        alternatives = {
            resource: tuple(
                tuple(self.view_columns(name, each, number, single=len(kinds) == 1))
                for number, each in enumerate(several)
            )
            for resource, several in found.items()
        }
        others = tuple(
            ViewColumn(f"{name}_{snake(kind)}", path, kind, False, Type.of(kind), _picked(path))
            for kind, path in entry.get("also", {}).items()
        )
        if others:
            alternatives = {resource: (*several, others) for resource, several in alternatives.items()}
        return Declared(
            name=name,
            about=entry["is"],
            in_row=in_row,
            many=everything[0].many,
            choice=bool(others) or any(each.choice for each in everything),
            alternatives=alternatives,
            listed=entry.get("list"),
            prefer=tuple(entry.get("prefer", prefer)),
            first_row_only=entry.get("first_row_only", False),
        )

    def name_of(self, element: Any) -> str:
        path = next(iter(element.values())) if isinstance(element, dict) else element
        path = path[0] if isinstance(path, list) else path
        return snake(path.rpartition(".")[2].removesuffix("[x]"))

    def view_columns(self, name: str, found: _Found, number: int, *, single: bool) -> list[ViewColumn]:
        known = []
        for kind in found.types:
            own = name if single else f"{name}_{snake(kind)}"
            path = f"{found.path}.ofType({kind})" if found.choice else found.path
            within = found.within or Type.of(kind)
            steps = (*found.steps, *filter(None, [found.json_names.get(kind)]))
            known.append(ViewColumn(f"{own}_{number}" if number else own, path, kind, found.many, within, steps))
        return known

    def find(self, resource: str, path: str, entry: Mapping[str, Any], *, in_row: bool) -> _Found:
        if "path" in entry:
            return _Found(path, (entry["type"],), bool(entry.get("many")), False, None, _picked(path))
        owner, base = resource, self.each.get(resource, "") if in_row else ""
        steps, written = path.split("."), []
        element: Element | None = None
        for number, step in enumerate(steps):
            children = r4().children(owner, base)
            element = children.get(step.removesuffix("[x]"))
            if element is None or element.is_choice != step.endswith("[x]"):
                raise TableError(f"{self.table}: {resource} has no element {path}")
            written.append(element.name)
            if number < len(steps) - 1:
                if element.is_list:
                    written[-1] += ".first()"
                inner = Type.at(element)
                owner, base = inner.owner, inner.path
        if element is None:  # pragma: no cover - a path has a step
            raise TableError(f"{self.table}: an empty path")
        types = element.types if element.is_choice else (Type.at(element).name,)
        within = None if element.is_choice else Type.at(element)
        names = (
            {kind: name for name, kind in element.json_names.items()}
            if element.is_choice
            else dict.fromkeys(types, element.name)
        )
        before = tuple(step.removesuffix(".first()") for step in written[:-1])
        return _Found(".".join(written), tuple(types), element.is_list, element.is_choice, within, before, names)
