"""What a ViewDefinition declares, read with the house rules: view columns in, table columns out.

The files are standard ViewDefinitions of SQL on FHIR v2. What is ours stands in tags of columns:

- `charthouse/alternative-of = <column>`: the column stands in for another of the same view where that one is empty.
  FHIR's choices need it: `effectivePeriod.start` stands in for `effectiveDateTime`.
- `charthouse/row-number = true`: the column numbers the rows of one resource.
- `charthouse/looks-up = <helper>`: the column holds a reference. Columns of the helper view of that name
  (`schemas/views/helpers/`) fill those of the same name that are empty here.

The house rules by type and name:

- date, dateTime, instant `<name>` → `<name>` TIMESTAMPTZ, the earliest instant it can mean, and `<name>_precision`;
- decimal `<name>` → `<name>` DOUBLE, and `<name>_text`, the digits as sent;
- a string `<name>_key` holds a FHIR reference → `<link_id>/<Type>/<id>`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

TAG = "charthouse/"
DATES = frozenset({"date", "dateTime", "instant"})
INTEGERS = frozenset({"integer", "positiveInt", "unsignedInt"})
WORDS = frozenset({"string", "code", "uri", "url", "canonical", "id", "oid", "uuid", "markdown", "time"})

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FILE = re.compile(r"([a-z][a-z0-9_]*)(?:\.([A-Z][A-Za-z]*))?\.json")


class TableError(ValueError):
    """A file in `schemas/views` that cannot be a table. Names the file and the column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, with its DuckDB type."""

    name: str
    sql_type: str
    description: str


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """One column of a view. `type` is its FHIR type, `tags` ours only, without their prefix."""

    name: str
    type: str
    description: str
    tags: Mapping[str, str]

    @property
    def is_key(self) -> bool:
        """Whether it holds a reference that becomes a key."""
        return self.name.endswith("_key") and self.type == "string"

    @property
    def alternative_of(self) -> str | None:
        """The column that it stands in for."""
        return self.tags.get("alternative-of")

    def expanded(self) -> tuple[Column, ...]:
        """The table columns that it becomes."""
        if self.type in DATES:
            return (
                Column(self.name, "TIMESTAMPTZ", self.description),
                Column(f"{self.name}_precision", "VARCHAR", f"How exact `{self.name}` is."),
            )
        if self.type == "decimal":
            return (
                Column(self.name, "DOUBLE", self.description),
                Column(f"{self.name}_text", "VARCHAR", f"The digits of `{self.name}` as sent."),
            )
        if self.type in INTEGERS:
            return (Column(self.name, "BIGINT", self.description),)
        return (Column(self.name, "BOOLEAN" if self.type == "boolean" else "VARCHAR", self.description),)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One ViewDefinition file: the resource type it reads, the definition as it stands, and its columns in order."""

    name: str
    resource: str
    definition: Mapping[str, Any]
    columns: tuple[ViewColumn, ...]

    @property
    def shown(self) -> tuple[ViewColumn, ...]:
        """The columns that become columns of the table: all but those that stand in for another."""
        return tuple(column for column in self.columns if column.alternative_of is None)

    @property
    def row_number(self) -> str | None:
        """The column that numbers the rows of one resource; None where each resource is one row."""
        return next((column.name for column in self.columns if "row-number" in column.tags), None)

    @property
    def look_up(self) -> tuple[str, str] | None:
        """The column that refers to a helper view, and the helper's name."""
        return next(
            ((column.name, column.tags["looks-up"]) for column in self.columns if "looks-up" in column.tags), None
        )

    def with_digits(self) -> dict[str, Any]:
        """The definition with its decimals asked for as text: a decimal column would lose the digits as sent."""
        return {**self.definition, "select": [_with_digits(select) for select in self.definition["select"]]}

    def stand_ins(self, name: str) -> tuple[ViewColumn, ...]:
        """The columns that stand in for `name`, in their order."""
        return tuple(column for column in self.columns if column.alternative_of == name)


def read_views(folder: str = "views") -> dict[str, tuple[View, ...]]:
    """The views in a folder of `schemas`, by table name, in the order of their file names.

    Raises:
        TableError: for a file whose name, columns or tags do not fit the house rules.
    """
    found: dict[str, list[View]] = {}
    entries = sorted(files("schemas").joinpath(folder).iterdir(), key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.endswith(".json"):
            view = read_view(entry)
            found.setdefault(view.name, []).append(view)
    for name, views in found.items():
        if any(view.shown != views[0].shown for view in views):
            raise TableError(f"{folder}/{name}.*.json: the files do not have the same columns")
    return {name: tuple(views) for name, views in found.items()}


def read_view(file: Traversable) -> View:
    """One ViewDefinition file, held against the house rules."""
    match = _FILE.fullmatch(file.name)
    if match is None:
        raise TableError(f"{file.name}: not a name of the form table.json or table.ResourceType.json")
    definition = json.loads(file.read_text(encoding="utf-8"))
    if match[2] not in {None, definition["resource"]}:
        raise TableError(f"{file.name}: its resource is {definition['resource']}")
    columns = tuple(_columns(definition))
    view = View(match[1], definition["resource"], definition, columns)
    _hold_rules(file.name, view)
    return view


def _columns(definition: Mapping[str, Any]) -> Iterator[ViewColumn]:
    # The order of the standard: a select's own columns, its nested selects, then (the first branch of) its union.
    for select in definition.get("select", ()):
        for column in select.get("column", ()):
            tags = {
                tag["name"].removeprefix(TAG): tag["value"]
                for tag in column.get("tag", ())
                if tag["name"].startswith(TAG)
            }
            yield ViewColumn(column["name"], column.get("type", ""), column.get("description", ""), tags)
        yield from _columns(select)
        if select.get("unionAll"):
            yield from _columns({"select": select["unionAll"][:1]})


def _with_digits(select: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(select)
    if "column" in select:
        changed["column"] = [
            {**column, "path": f"({column['path']}).toString()", "type": "string"}
            if column["type"] == "decimal"
            else column
            for column in select["column"]
        ]
    for nested in ("select", "unionAll"):
        if nested in select:
            changed[nested] = [_with_digits(each) for each in select[nested]]
    return changed


def _hold_rules(file: str, view: View) -> None:
    names = {column.name: column for column in view.columns}
    if len(names) != len(view.columns):
        raise TableError(f"{file}: a column name is used twice")
    for column in view.columns:
        if not _NAME.fullmatch(column.name) or not column.description:
            raise TableError(f"{file}: {column.name}: a column has a name in lower case and a description")
        if column.type not in DATES | INTEGERS | WORDS | {"decimal", "boolean"}:
            raise TableError(f"{file}: {column.name}: no primitive FHIR type")
        target = column.alternative_of
        if target is not None and (target not in names or not _fits(column.type, names[target].type)):
            raise TableError(f"{file}: {column.name}: it cannot stand in for {target}")


def _fits(stand_in: str, target: str) -> bool:
    groups = (DATES, INTEGERS | {"decimal"}, WORDS, {"boolean"})
    return any(stand_in in group and target in group for group in groups)
