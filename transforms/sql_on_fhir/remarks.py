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

LISTED_AT_ONCE = 3

Place = tuple[str, tuple[str, ...]]

_NUMBERS = ("UBIGINT", "BIGINT", "HUGEINT", "DOUBLE")


@dataclass(frozen=True, slots=True)
class Remark:
    """So many `resources` do not fit at `path` (`Observation.code`, CH320), or are no JSON at all (CH321)."""

    code: str
    path: str
    resources: int


def counting_queries(compiled: Compiled, source: Source) -> list[tuple[str, list[str]]]:
    """Queries of one row each: lines without a JSON object, then the resources that misfit, for each path named.

    Each call of a JSON function holds the documents of a whole vector; so many calls in one query need much memory.
    """
    places = list(_places(compiled.shape, "$"))
    single = [place for place in places if "[*]" not in place[0]]
    several = [place for place in places if "[*]" in place[0]]
    groups = [several[start : start + LISTED_AT_ONCE] for start in range(0, len(several), LISTED_AT_ONCE)]
    resource = compiled.resource
    return [_counting(resource, source, single, []), *(_counting(resource, source, [], group) for group in groups)]


def _counting(resource: str, source: Source, single: list[Place], several: list[Place]) -> tuple[str, list[str]]:
    columns = ["count(*) FILTER (WHERE NOT is_object)"]
    kinds = ["coalesce(json_type(json), '') = 'OBJECT' AS is_object"]
    kinds.append(f"(json ->> '$.resourceType') = {sql.text(resource)} AS fits")
    if single:
        kinds.append("json_type(json, [" + ", ".join(sql.text(path) for path, _ in single) + "]) AS kinds")
    for i, (_, allowed) in enumerate(single, 1):
        columns.append(f"count(*) FILTER (WHERE fits AND kinds[{i}] NOT IN ({_quoted(allowed)}))")
    for i, (path, allowed) in enumerate(several):
        kinds.append(f"json_type(json, {sql.text(path)}) AS kinds{i}")
        misfits = f"list_filter(kinds{i}, lambda kind: kind NOT IN ({_quoted(allowed)}))"
        columns.append(f"count(*) FILTER (WHERE fits AND len({misfits}) > 0)")
    text = (
        "SELECT " + ", ".join(columns) + "\nFROM (\n  SELECT " + ", ".join(kinds) + "\n  FROM (\n"
        f"    SELECT CASE WHEN json_valid(json) THEN json END AS json FROM ({texts(source, resource)})\n  )\n)"
    )
    return text, [path for path, _ in (*single, *several)]


def remarks_of(table: pa.Table) -> tuple[Remark, ...]:
    """The remarks that came with the result of `run_view`."""
    noted = (table.schema.metadata or {}).get(METADATA_KEY, b"[]")
    return tuple(Remark(**entry) for entry in json.loads(noted))


def attach(table: pa.Table, remarks: list[Remark]) -> pa.Table:
    """The table, with its remarks in the metadata of its schema."""
    noted = json.dumps([{"code": r.code, "path": r.path, "resources": r.resources} for r in remarks])
    return table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA_KEY: noted.encode()})


def read(rows: list[tuple[int, ...]], compiled: Compiled, paths: list[list[str]]) -> list[Remark]:
    """The remarks out of the rows of the counting queries."""
    broken = rows[0][0]
    found = [Remark("CH321", compiled.resource, broken)] if broken else []
    for row, named in zip(rows, paths, strict=True):
        misfits = zip(named, row[1:], strict=True)
        found += [Remark("CH320", compiled.resource + path[1:], count) for path, count in misfits if count]
    return found


def _places(shape: Shape, path: str) -> Iterator[Place]:
    for name, child in shape.fields.items():
        if name == "resourceType":
            continue
        place = f"{path}.{name}"
        if child.many:
            yield place, ("ARRAY",)
            place += "[*]"
        yield place, _allowed(child)
        if child.leaf is None:
            yield from _places(child, place)


def _allowed(shape: Shape) -> tuple[str, ...]:
    """JSON types that are read without loss; DuckDB makes text of a number that stands for a string."""
    if shape.leaf is None:
        return ("OBJECT",)
    if shape.leaf == "BOOLEAN":
        return ("BOOLEAN",)
    return _NUMBERS if shape.number else ("VARCHAR", "BOOLEAN", *_NUMBERS)


def _quoted(kinds: tuple[str, ...]) -> str:
    return ", ".join(f"'{kind}'" for kind in (*kinds, "NULL"))
