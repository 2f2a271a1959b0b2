"""Counting what does not fit: resources that hold something else where R4 has an object, a list or a number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transforms.sql_on_fhir import sql
from transforms.sql_on_fhir.sources import texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from transforms.sql_on_fhir.compiler import Compiled
    from transforms.sql_on_fhir.shape import Shape
    from transforms.sql_on_fhir.sources import Source

METADATA_KEY = b"remarks"

_NUMBERS = ("UBIGINT", "BIGINT", "HUGEINT", "DOUBLE")


@dataclass(frozen=True, slots=True)
class Remark:
    """So many `resources` do not fit at `path` (`Observation.code`, CH320), or are no JSON at all (CH321)."""

    code: str
    path: str
    resources: int


def counting_sql(compiled: Compiled, source: Source) -> tuple[str, list[str]]:
    """A query of one row: lines without a JSON object, then the resources that misfit, for each path that is read."""
    places = list(_places(compiled.shape, "$", listed=False))
    kind = sql.text(compiled.resource)
    fitting = f"(json ->> '$.resourceType') = {kind}"
    columns = ["count(*) FILTER (WHERE coalesce(json_type(json), '') <> 'OBJECT')"]
    columns += [f"count(*) FILTER (WHERE {condition} AND {fitting})" for _, condition in places]
    text = (
        "SELECT\n  " + ",\n  ".join(columns) + "\nFROM (\n  SELECT CASE WHEN json_valid(json) THEN json END AS json\n"
        f"  FROM ({texts(source, compiled.resource)})\n)"
    )
    return text, [path for path, _ in places]


def remarks_of(table: pa.Table) -> tuple[Remark, ...]:
    """The remarks that came with the result of `run_view`."""
    noted = (table.schema.metadata or {}).get(METADATA_KEY, b"[]")
    return tuple(Remark(**entry) for entry in json.loads(noted))


def attach(table: pa.Table, remarks: list[Remark]) -> pa.Table:
    """The table, with its remarks in the metadata of its schema."""
    noted = json.dumps([{"code": r.code, "path": r.path, "resources": r.resources} for r in remarks])
    return table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA_KEY: noted.encode()})


def read(row: tuple[int, ...], compiled: Compiled, paths: list[str]) -> list[Remark]:
    """The remarks out of the row of the counting query."""
    broken, *counts = row
    found = [Remark("CH321", compiled.resource, broken)] if broken else []
    misfits = zip(paths, counts, strict=True)
    return found + [Remark("CH320", compiled.resource + path[1:], count) for path, count in misfits if count]


def _places(shape: Shape, path: str, *, listed: bool) -> Iterator[tuple[str, str]]:
    for name, child in shape.fields.items():
        if name == "resourceType":
            continue
        place = f"{path}.{name}"
        if child.many:
            yield place, _misfit(place, ("ARRAY",), listed=listed)
        inner, inside = (f"{place}[*]", True) if child.many else (place, listed)
        yield inner, _misfit(inner, _allowed(child), listed=inside)
        if child.leaf is None:
            yield from _places(child, inner, listed=inside)


def _allowed(shape: Shape) -> tuple[str, ...]:
    """JSON types that are read without loss; DuckDB makes text of a number that stands for a string."""
    if shape.leaf is None:
        return ("OBJECT",)
    if shape.leaf == "BOOLEAN":
        return ("BOOLEAN",)
    return _NUMBERS if shape.number else ("VARCHAR", "BOOLEAN", *_NUMBERS)


def _misfit(path: str, allowed: tuple[str, ...], *, listed: bool) -> str:
    kinds = ", ".join(f"'{kind}'" for kind in (*allowed, "NULL"))
    found = f"json_type(json, {sql.text(path)})"
    if not listed:
        return f"{found} NOT IN ({kinds})"
    return f"len(list_filter({found}, lambda t: t NOT IN ({kinds}))) > 0"
