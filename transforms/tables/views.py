"""From a declaration to the ViewDefinitions that are published: one for each resource type of a table.

They are standard views of SQL on FHIR v2, with columns of complex types. What an analyst's table has more (names behind
references, one best coding, dates as instants) is made of their columns by `transforms.tables.statement`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from transforms.classification import constants_of, where_of
from transforms.sql_on_fhir.definition import AS_SENT
from transforms.sql_on_fhir.values import FAMILY, Type
from transforms.tables.declaration import SIDES, Declared, ViewColumn, read_declarations

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from transforms.tables.declaration import Declaration

NUMBER = "component_number"
ITEM = "number"


def view_files() -> dict[str, str]:
    """The published views: file name → text."""
    found = {}
    for declaration in read_declarations().values():
        if declaration.inner:
            continue
        for resource in declaration.resources:
            several = len(declaration.resources) > 1
            name = f"{declaration.name}.{resource}.json" if several else f"{declaration.name}.json"
            found[name] = _laid_out(view_of(declaration, resource)) + "\n"
    return found


def view_of(declaration: Declaration, resource: str, absent: Collection[str] = ()) -> dict[str, Any]:
    """The ViewDefinition of one resource type of a table, without the columns that are `absent`."""
    columns: list[dict[str, Any]] = [
        {"name": "id", "path": "id", "type": "id", "description": "The id of the resource."}
    ]
    columns += [_column(each) for each in _view_columns(declaration, resource, absent, in_row=False)]
    select: list[dict[str, Any]] = [{"column": columns}]
    in_row = [_column(each) for each in _view_columns(declaration, resource, absent, in_row=True)]
    if declaration.rows:
        about = "0 for the resource itself, 1… for its components in their order."
        select.append(
            {
                "unionAll": [
                    {"column": [_numbered(NUMBER, "0", about), *in_row]},
                    {"forEach": declaration.rows, "column": [_numbered(NUMBER, "%rowIndex + 1", about), *in_row]},
                ]
            }
        )
    elif resource in declaration.each:
        about = "1… in the order sent."
        select.append(
            {"forEach": declaration.each[resource], "column": [_numbered(ITEM, "%rowIndex + 1", about), *in_row]}
        )
    view: dict[str, Any] = {
        "resourceType": "ViewDefinition",
        "name": declaration.name,
        "title": declaration.title,
        "status": "active",
        "description": declaration.about,
        "fhirVersion": ["4.0.1"],
        "resource": resource,
    }
    if declaration.category:
        view |= {
            "constant": constants_of(declaration.category, declaration.kinds),
            "where": where_of(declaration.category, declaration.kinds),
        }
    return {**view, "select": select}


def view_columns(declared: Declared, resource: str) -> tuple[ViewColumn, ...]:
    """What the view reads for an element: its types, and beside a primitive the extensions that excuse it."""
    own = declared.view_columns(resource)
    if declared.name not in SIDES:
        return own
    sides = (
        ViewColumn(
            f"{each.name}_extension",
            f"{each.path}.extension",
            "Extension",
            True,
            Type.of("Extension"),
            (*each.steps[:-1], f"_{each.steps[-1]}") if each.steps else (),
        )
        for each in own
        if each.type in FAMILY and not each.many
    )
    return (*own, *sides)


def _view_columns(
    declaration: Declaration, resource: str, absent: Collection[str], *, in_row: bool
) -> Iterator[tuple[ViewColumn, str]]:
    for declared in declaration.declared:
        if declared.in_row == in_row:
            for each in view_columns(declared, resource):
                if each.name not in absent:
                    yield each, declared.about


def _column(each: tuple[ViewColumn, str]) -> dict[str, Any]:
    column, about = each
    made: dict[str, Any] = {"name": column.name, "path": column.path, "type": column.type}
    if column.many:
        made["collection"] = True
    made["description"] = about
    if column.type in FAMILY:
        made["tag"] = [{"name": AS_SENT, "value": "true"}]
    return made


def _numbered(name: str, path: str, about: str) -> dict[str, Any]:
    return {"name": name, "path": path, "type": "integer", "description": about}


def _laid_out(value: Any, depth: int = 0) -> str:
    """JSON with what fits into a line on one line: a column a line, mostly."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + 2 * depth <= 160 or not isinstance(value, dict | list):
        return flat
    pad = "  " * depth
    if isinstance(value, dict):
        parts = [f"{pad}  {json.dumps(key)}: {_laid_out(each, depth + 1)}" for key, each in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{pad}}}"
    return "[\n" + ",\n".join(f"{pad}  {_laid_out(each, depth + 1)}" for each in value) + f"\n{pad}]"
