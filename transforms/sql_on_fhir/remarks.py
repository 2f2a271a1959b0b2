"""Counting what does not fit: resources that hold something else where R4 has an object, a list or a number.

What a `repeat` walks through, and resources within resources, are documents of their own here: their places are looked
at wherever json_tree finds such a document, so a misfit of an item counts at whatever depth it stands.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transforms.sql_on_fhir import sql
from transforms.sql_on_fhir.errors import Remark
from transforms.sql_on_fhir.sources import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from transforms.sql_on_fhir.compiler import Compiled
    from transforms.sql_on_fhir.shape import Shape
    from transforms.sql_on_fhir.sources import Source

METADATA_KEY = b"remarks"


@dataclass(frozen=True, slots=True)
class _Place:
    """A path, the JSON types that fit there, and what is made of a text there, as SQL for that of the text."""

    path: str
    allowed: tuple[str, ...]
    makes: tuple[Callable[[str], str], ...] = ()

    def misfit(self, kind: str) -> str:
        """SQL that tells a JSON type that does not fit; NULL or false where nothing is there."""
        return f"{kind} NOT IN ({_quoted(self.allowed)})"

    def beyond(self, text: str) -> str:
        """SQL that tells a text of which that cannot be made, such as a number beyond its type."""
        failed = " OR ".join(f"{make(text)} IS NULL" for make in self.makes)
        return f"{text} IS NOT NULL AND ({failed})"


_WHOLE = ("UBIGINT", "BIGINT")
_NUMBERS = (*_WHOLE, "HUGEINT", "DOUBLE")


AT_ONCE = 24
"""Places that one query counts: for each DuckDB keeps vectors of its own, and a struct has many places."""


def counting_queries(compiled: Compiled, source: Source) -> list[tuple[str, list[str]]]:
    """Queries of one row each: lines without a JSON object, then the resources that misfit, for each path named."""
    given, resource = _fields(compiled, source), compiled.resource
    documents = [_counting_within(resource, document, given) for document in _documents(compiled.shape)]
    places = list(_places(compiled.shape, "$"))
    some = [places[start : start + AT_ONCE] for start in range(0, max(len(places), 1), AT_ONCE)]
    return [*(_counting(resource, each, given) for each in some), *documents]


def _fields(compiled: Compiled, source: Source) -> str:
    """A query of the resources' text `json` and of the `fields` that are read of it, as JSON too: mostly a small part.

    Each JSON function parses what it is given, and holds the documents of a whole vector: so they are given that.
    """
    names = dict.fromkeys(("resourceType", *compiled.shape.fields), "JSON")
    fields = f"to_json(TRY(from_json(json, {sql.text(json.dumps(names))})))"
    return f"SELECT json, {fields} AS fields FROM ({texts(source, compiled.resource)})"


def _counting(resource: str, places: list[_Place], given: str) -> tuple[str, list[str]]:
    columns = ["count(*) FILTER (WHERE NOT is_object)"]
    kinds = ["fields IS NOT NULL AND starts_with(ltrim(json, E' \\t\\r\\n'), '{') AS is_object"]
    kinds.append(f"(fields ->> '$.resourceType') = {sql.text(resource)} AS fits")
    single = [place for place in places if "[*]" not in place.path]
    several = [place for place in places if "[*]" in place.path]
    made = [place for place in single if place.makes]
    if single:
        kinds.append(f"json_type(fields, {_listed(single)}) AS kinds")
    if made:
        kinds.append(f"json_extract_string(fields, {_listed(made)}) AS texts")
    for i, place in enumerate(single, 1):
        misfit = place.misfit(f"kinds[{i}]")
        if place.makes:
            misfit = f"({misfit} OR {place.beyond(f'texts[{made.index(place) + 1}]')})"
        columns.append(f"count(*) FILTER (WHERE fits AND {misfit})")
    for i, place in enumerate(several):
        kinds.append(f"json_type(fields, {sql.text(place.path)}) AS kinds{i}")
        if place.makes:
            kinds.append(f"json_extract_string(fields, {sql.text(place.path)}) AS texts{i}")
        columns.append(f"count(*) FILTER (WHERE fits AND {_any_misfit(place, f'kinds{i}', f'texts{i}')})")
    text = "SELECT " + ", ".join(columns) + "\nFROM (\n  SELECT " + ", ".join(kinds) + f"\n  FROM ({given})\n)"
    return text, [place.path for place in (*single, *several)]


def _any_misfit(place: _Place, kinds: str, items: str) -> str:
    """Whether one of the items of a place with a `[*]` misfits, by the lists of their JSON types and items."""
    found = f"len(list_filter({kinds}, lambda kind: {place.misfit('kind')})) > 0"
    if not place.makes:
        return found
    return f"({found} OR len(list_filter({items}, lambda text: {place.beyond('text')})) > 0)"


def _listed(places: list[_Place]) -> str:
    return "[" + ", ".join(sql.text(place.path) for place in places) + "]"


@dataclass(frozen=True, slots=True)
class _Document:
    """What is parsed on its own: SQL of the list of all of them in a resource, and the path that stands for them."""

    items: str
    path: str
    shape: Shape


def _counting_within(resource: str, document: _Document, given: str) -> tuple[str, list[str]]:
    columns, paths = ["0"], []
    for place in _places(document.shape, "$"):
        kinds = f"json_type(item, {sql.text(place.path)})"
        found = f"json_extract_string(item, {sql.text(place.path)})"
        lists = (kinds, found) if "[*]" in place.path else (f"[{kinds}]", f"[{found}]")
        misfit = _any_misfit(place, *lists)
        columns.append(f"count(*) FILTER (WHERE len(list_filter(items, lambda item: {misfit})) > 0)")
        paths.append(document.path + place.path[1:])
    text = (
        "SELECT " + ", ".join(columns) + f"\nFROM (\n  SELECT {document.items} AS items\n  FROM ({given})\n"
        f"  WHERE (fields ->> '$.resourceType') = {sql.text(resource)}\n)"
    )
    return text, paths


def _documents(shape: Shape) -> Iterator[_Document]:
    """All documents below a resource, each after the one that it stands in."""
    waiting = [_Document("[fields]", "$", shape)]
    seen = [shape]
    while waiting:
        outer = waiting.pop(0)
        starts: dict[int, list[str]] = {}
        for reader, path in _readers(outer.shape, ""):
            if reader not in seen:
                starts.setdefault(id(reader), []).append(path)
        for reader, path in list(_readers(outer.shape, "")):
            if reader in seen:
                continue
            seen.append(reader)
            ways = "|".join(map(_pattern, starts[id(reader)]))
            steps = "|".join(_pattern(step) for below, step in _readers(reader, "") if below is reader)
            whole = f"[$](?:{ways})" + (f"(?:{steps})*" if steps else "")
            kind = f" AND (t.value ->> '$.resourceType') = {sql.text(reader.resource)}" if reader.resource else ""
            items = (
                f"(SELECT list(t.value) FROM (SELECT unnest({outer.items}) AS j), json_tree(j) AS t "
                f"WHERE regexp_full_match(t.fullkey, {sql.text(whole)}){kind})"
            )
            document = _Document(items, outer.path + path, reader)
            waiting.append(document)
            yield document


def _readers(shape: Shape, path: str) -> Iterator[tuple[Shape, str]]:
    """The shapes that text somewhere in this one is parsed into, with the path of that text."""
    for name, child in shape.fields.items():
        place = f"{path}.{name}" + ("[*]" if child.many else "")
        for reader in child.readers:
            yield reader, place
        yield from _readers(child, place)


def _pattern(path: str) -> str:
    """A path as a regular expression for the full keys of json_tree."""
    return path.replace(".", "[.]").replace("[*]", r"\[\d+\]")


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
    counts: dict[str, int] = {}
    for row, named in zip(rows, paths, strict=True):
        for path, count in zip(named, row[1:], strict=True):
            counts[path] = max(count, counts.get(path, 0))
    found = [Remark("CH321", compiled.resource, broken)] if broken else []
    return found + [Remark("CH320", compiled.resource + path[1:], count) for path, count in counts.items() if count]


def _places(shape: Shape, path: str) -> Iterator[_Place]:
    for name, child in shape.fields.items():
        if name == "resourceType":
            continue
        place = f"{path}.{name}"
        if child.many:
            yield _Place(place, ("ARRAY",))
            place += "[*]"
        yield _Place(place, _allowed(child), tuple(child.makes.values()))
        if child.leaf is None:
            yield from _places(child, place)


def _allowed(shape: Shape) -> tuple[str, ...]:
    """JSON types that are read without loss; DuckDB makes text of a number that stands for a string."""
    if shape.leaf is None:
        return ("OBJECT",)
    kinds = {"boolean": ("BOOLEAN",), "integer": _WHOLE, "decimal": _NUMBERS}
    return kinds.get(shape.scalar or "", ("VARCHAR", "BOOLEAN", *_NUMBERS))


def _quoted(kinds: tuple[str, ...]) -> str:
    return ", ".join(f"'{kind}'" for kind in (*kinds, "NULL"))
