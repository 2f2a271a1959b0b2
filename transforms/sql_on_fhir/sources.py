"""What a view reads from, as SQL: a relation with a `resource` column, or NDJSON files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transforms.sql_on_fhir import sql
from transforms.sql_on_fhir.errors import ViewError

if TYPE_CHECKING:
    from transforms.sql_on_fhir.shape import Shape

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes that one line of NDJSON may have. DuckDB's buffers are twice as large, several a thread."""

LONG_LINE_LIMIT = 128 * 1024 * 1024
"""What a line may have where the usual limit was not enough."""

ENDINGS = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")

_IDENTIFIER = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([A-Za-z_][A-Za-z0-9_$]*))\s*(\.|\Z)')


@dataclass(frozen=True, slots=True)
class SqlRelation:
    """A table, view or CTE of the connection the SQL will run in, with resources as JSON text.

    `name` may be qualified (`vault.current_resources`), its parts double-quoted where they need to be. `resource` names
    the column of JSON or VARCHAR; `resource_type` the one that tells the type without parsing, None if there is none.
    """

    name: str
    resource: str = "resource"
    resource_type: str | None = "resource_type"

    def sql(self) -> str:
        """The name, quoted part by part."""
        parts = []
        position = 0
        while True:
            match = _IDENTIFIER.match(self.name, position)
            if match is None or "\0" in self.name:
                raise ViewError("CH309", message="not the name of a relation")
            parts.append(sql.name((match.group(1) or "").replace('""', '"') or match.group(2)))
            position = match.end()
            if not match.group(3):
                return ".".join(parts)


@dataclass(frozen=True, slots=True)
class NdjsonFiles:
    """Files of NDJSON, plain or gzip: a path or glob, or several.

    `strict` reads them straight into typed columns, nearly as fast as DuckDB reads JSON at all. In exchange the query
    ends at the first line that does not fit the types, and is refused for a view that needs the digits of a decimal, or
    looks into documents within the resource (repeat, contained resources), whose misfits it would not see.
    """

    paths: tuple[str, ...]
    strict: bool = False
    line_limit: int = LINE_LIMIT

    @staticmethod
    def of(source: str | Path, *, strict: bool = False) -> NdjsonFiles:
        """One path or glob; a folder stands for the NDJSON files in it, at any depth."""
        folder = Path(source)
        if not folder.is_dir():
            return NdjsonFiles((str(source),), strict)
        found = NdjsonFiles.found(folder)
        if not found:
            raise ViewError("CH309", message=f"the folder holds no file of {', '.join(ENDINGS)}")
        return NdjsonFiles(tuple(found), strict)

    @staticmethod
    def found(folder: Path) -> list[str]:
        """The NDJSON files in a folder, at any depth."""
        return sorted(str(file) for ending in ENDINGS for file in folder.rglob(f"*{ending}"))

    def sql(self) -> str:
        """The list of paths."""
        quoted = [sql.text(path) for path in self.paths]
        return quoted[0] if len(quoted) == 1 else "[" + ", ".join(quoted) + "]"


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT of our own, or of DuckDB's (a relation's), as a source."""

    text: str
    resource: str = "resource"
    resource_type: str | None = None

    def sql(self) -> str:
        """The query in parentheses."""
        return f"({self.text})"


Source = SqlRelation | NdjsonFiles | Query


def rows(
    source: Source, shape: Shape, resource_type: str, *, carry: tuple[str, ...], digits: Digits, conditions: list[str]
) -> Rows:
    """The resources of the type that meet the conditions.

    The strict reader gives a table `r` of the fields; otherwise it is a table `s` with the struct `r`, the text `json`
    and the carried columns. Either way a field is `r.name`.
    """
    kind = sql.text(resource_type)
    typed = not isinstance(source, NdjsonFiles) and source.resource_type is not None
    if not typed:
        shape.child("resourceType", many=False, leaf="VARCHAR", raw=False)
        conditions = [f"r.resourceType = {kind}", *conditions]
    if isinstance(source, NdjsonFiles) and source.strict:
        columns = shape.columns()
        # of a single column DuckDB would make the whole of each line, once one of them is no object
        only = ", records = true" if len(shape.fields) == 1 else ""
        reader = f"read_ndjson({source.sql()}, columns = {columns}{only}, maximum_object_size = {source.line_limit})"
        return Rows(reader, "r", conditions)
    carried = "".join(f"{sql.name(name)}, " for name in carry)
    given = f"({texts(source, resource_type, carried)})"
    parsed = f"TRY(from_json({digits.keep('json')}, {shape.spec_text()}))"
    # unnest keeps DuckDB from moving filters below the parsing, where it would parse once for each
    return Rows(f"(\n  SELECT {carried}json, unnest([{parsed}]) AS r\n  FROM {given}\n)", "s", conditions)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a view reads: a table of its resources, by its name, and which of them count."""

    table: str
    name: str
    conditions: list[str]

    def sql(self, laterals: list[str]) -> str:
        """What comes after FROM. The conditions are met before anything is unnested."""
        where = "\nWHERE " + "\n  AND ".join(self.conditions) if self.conditions else ""
        table = f"{self.table} AS {self.name}{where}"
        if not laterals:
            return table
        if where:
            table = f"(\n  SELECT *\n  FROM {sql.indented(table)}\n) AS {self.name}"
        return ",\n".join((table, *laterals))


def texts(source: Source, resource_type: str, carried: str = "") -> str:
    """A query of the resources as JSON text in a column `json`, NULL where a line is no JSON."""
    if isinstance(source, NdjsonFiles):
        reader = f"read_ndjson_objects({source.sql()}, ignore_errors = true, maximum_object_size = {source.line_limit})"
        return f"SELECT json FROM {reader}"
    query = f"SELECT {carried}CAST({sql.name(source.resource)} AS VARCHAR) AS json FROM {source.sql()}"
    if source.resource_type is None:
        return query
    return f"{query} WHERE {sql.name(source.resource_type)} = {sql.text(resource_type)}"


_KEPT = '{"#":"'
"""What stands before the digits of a number that are kept; FHIR has no element of that name."""


def number_text(text: str) -> str:
    """SQL of a number's text out of the text of its JSON; NULL for what is no number."""
    kept = f"starts_with({text}, {sql.text(_KEPT)})"
    digits = f"substr({text}, {len(_KEPT) + 1}, strlen({text}) - {len(_KEPT) + 2})"
    # 45 to 57 are - . / and the digits
    return f"CASE WHEN ascii({text}) BETWEEN 45 AND 57 THEN {text} WHEN {kept} THEN {digits} END"


@dataclass(frozen=True, slots=True)
class Digits:
    """The JSON names of the decimals that a view reads, and whether their text matters or their value alone.

    DuckDB's JSON reader makes a double of a number, so that 1.10 becomes 1.1 and more than 15 digits are rounded.
    """

    names: frozenset[str]
    text: bool
    texts: frozenset[str] = frozenset()
    """Names of decimals of which nothing but the text is read: their digits may stand there as a string."""

    def keep(self, json: str) -> str:
        """The JSON with the text of those numbers in their place, in the rows where reading would lose something.

        A property's name, a colon and a digit never follow each other within a string, for its quotes are escaped.
        """
        kept = self._kept(json, self.names, f'{_KEPT}\\2"}}')
        return self._kept(kept, self.texts, '"\\2"') if self.texts else kept

    def _kept(self, json: str, names: frozenset[str], form: str) -> str:
        if not names:
            return json
        keys = "|".join(sorted(names))
        long = "[0-9.]{17}"
        lossy = f"(?:[0-9]+[.][0-9]*0[^0-9]|[0-9]+(?:[.][0-9]+)?[eE]|{long})" if self.text else long
        found = sql.text(f'"(?:{keys})"\\s*:\\s*-?{lossy}')
        number = sql.text(f'"({keys})"\\s*:\\s*(-?[0-9][-+.0-9eE]*)')
        quoted = sql.text(f'"\\1":{form}')
        return (
            f"CASE WHEN regexp_matches({json}, {found}) "
            f"THEN regexp_replace({json}, {number}, {quoted}, 'g') ELSE {json} END"
        )
