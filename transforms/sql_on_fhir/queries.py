"""SQL queries over views, as FHIR Libraries: the SQLQuery and SQLView profiles of SQL on FHIR (3.0.0-ballot).

A query names the tables it reads by a label each, and whose rows they are by the canonical URL of a ViewDefinition or
an SQLView. All of those are given with the query (the standard's `context`); nothing is looked up anywhere. The SQL is
somebody else's: it runs in a database of its own that holds those tables and reaches no file, no network, no vault.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, NoReturn

import duckdb

from transforms.failures import FAILURES
from transforms.sql_on_fhir.errors import Remark, ViewError
from transforms.sql_on_fhir.remarks import attach, remarks_of
from transforms.sql_on_fhir.run import AnySource, run_view
from transforms.sql_on_fhir.temporal import in_calendar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from transforms.sql_on_fhir.filters import Filters

MEMORY_LIMIT: Final = "512MB"

_KINDS = ("sql-query", "sql-view")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}\Z")
_DIALECTS = ("duckdb", "", "ansi-sql")
"""Of several contents the first that there is: what we speak, what names no dialect, what most understand."""
_CONTENT = re.compile(
    r"application/sql(?:\s*;\s*(?:dialect\s*=\s*\"?([\w-]+)\"?|charset\s*=\s*[\w-]+))*\s*\Z", re.IGNORECASE
)
_TOKENS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|::|:([A-Za-z_]\w*)", re.DOTALL)
_DATE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?\Z")
_DATE_TIME = re.compile(r"\d{4}(?:-\d\d(?:-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?)?)?\Z")


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """A Library's query: its SQL, its parameters (name → FHIR type), its tables (label → canonical URL)."""

    url: str | None
    sql: str
    parameters: Mapping[str, str]
    tables: Mapping[str, str]


def is_query(artifact: Mapping[str, Any]) -> bool:
    """Whether an artifact is a Library, and so no ViewDefinition."""
    return artifact.get("resourceType") == "Library"


def read_query(library: Mapping[str, Any]) -> SqlQuery:
    """The query of a Library.

    Raises:
        ViewError: CH315, at the JSON path of the fault.
    """
    codings = _objects(library.get("type", {}) if isinstance(library.get("type"), dict) else {}, "coding")
    if library.get("resourceType") != "Library" or not any(coding.get("code") in _KINDS for coding in codings):
        raise ViewError("CH315", "$.type", message=f"a Library of the type {' or '.join(_KINDS)} is due here")
    tables: dict[str, str] = {}
    for i, artifact in enumerate(_objects(library, "relatedArtifact")):
        label, url = artifact.get("label"), artifact.get("resource")
        if artifact.get("type") != "depends-on" or url is None:
            continue
        at = f"$.relatedArtifact[{i}]"
        if not isinstance(label, str) or not _LABEL.match(label) or label.lower() in map(str.lower, tables):
            raise ViewError(
                "CH315", f"{at}.label", message="each table has a name of its own, in letters, digits and _"
            )
        if not isinstance(url, str):
            raise ViewError("CH315", f"{at}.resource", message="a canonical URL is due here")
        tables[label] = url
    parameters: dict[str, str] = {}
    for i, parameter in enumerate(_objects(library, "parameter")):
        name, kind = parameter.get("name"), parameter.get("type")
        if parameter.get("use") == "out":
            continue
        if not isinstance(name, str) or kind not in _BINDERS:
            known = ", ".join(_BINDERS)
            raise ViewError(
                "CH315", f"$.parameter[{i}]", message=f"a parameter has a name and one of the types {known}"
            )
        parameters[name] = kind
    url = library.get("url")
    return SqlQuery(url if isinstance(url, str) else None, _sql(library), parameters, tables)


def run_query(
    library: Mapping[str, Any],
    context: Mapping[str, Mapping[str, Any]],
    source: AnySource,
    connection: duckdb.DuckDBPyConnection | None = None,
    *,
    parameters: Mapping[str, str] | None = None,
    filters: Filters | None = None,
) -> pa.Table:
    """The rows of a query over the views that it names, which are run over the source and held in memory.

    `context` has ViewDefinitions and SQLView Libraries: by the label that the query gives them, or by anything else,
    in which case their own `url` tells. `parameters` are texts, read by the types that the Library declares. Filters
    are of the resources that feed the views, but for the limit, which is of the rows that come in the end.

    Raises:
        ViewError: CH315 to CH317 for the query; as `run_view` for a view of it.
    """
    query = read_query(library)
    values = _bound(query, parameters or {})
    limit = filters.limit if filters is not None else None
    narrowing = replace(filters, limit=None) if filters is not None else None
    used: set[str] = set()
    found: dict[str, Remark] = {}

    def rows(view: Mapping[str, Any]) -> pa.Table:
        table = run_view(view, source, connection, filters=narrowing)
        found.update({f"{remark.code} {remark.path}": remark for remark in remarks_of(table)})
        return table

    result = _evaluated(query, context, rows, values, used, ())
    if in_vain := sorted(set(context) - used):
        raise ViewError("CH317", message=f"the query has no table for {', '.join(in_vain)}")
    return attach(result.slice(0, limit), list(found.values()))


def _evaluated(
    query: SqlQuery,
    context: Mapping[str, Mapping[str, Any]],
    rows: Callable[[Mapping[str, Any]], pa.Table],
    values: Mapping[str, Any],
    used: set[str],
    around: tuple[str, ...],
) -> pa.Table:
    tables: dict[str, pa.Table] = {}
    for i, (label, url) in enumerate(query.tables.items()):
        at = f"$.relatedArtifact[{i}]"
        key = _supplied(context, label, url)
        if key is None:
            raise ViewError("CH317", at, message=f"nothing is given for {label} ({url})")
        if key in around:
            raise ViewError("CH317", at, message=f"{label} is made of itself")
        used.add(key)
        artifact = context[key]
        if is_query(artifact):
            inner = read_query(artifact)
            if inner.parameters:
                raise ViewError("CH315", at, message=f"{label} has parameters, which a query has but no table")
            tables[label] = _evaluated(inner, context, rows, {}, used, (*around, key))
        else:
            tables[label] = rows(artifact)
    return _ran(query, tables, values)


def _supplied(context: Mapping[str, Mapping[str, Any]], label: str, url: str) -> str | None:
    """Which artifact of the context a table is: by its label, else by its canonical URL, with the version asked for."""
    if label in context:
        return label
    address, _, version = url.partition("|")
    for key, artifact in context.items():
        if artifact.get("url") == address and version in {"", artifact.get("version")}:
            return key
    return None


def _ran(query: SqlQuery, tables: Mapping[str, pa.Table], values: Mapping[str, Any]) -> pa.Table:
    text = _TOKENS.sub(lambda token: f"${token[1]}" if token[1] else token[0], query.sql)
    mentioned = {token[1] for token in _TOKENS.finditer(query.sql) if token[1]}
    if unknown := sorted(mentioned - set(query.parameters)):
        raise ViewError(
            "CH315", "$.parameter", message=f"the SQL has parameters that are not declared: {', '.join(unknown)}"
        )
    config: dict[str, Any] = {"enable_external_access": "false", "memory_limit": MEMORY_LIMIT, "temp_directory": ""}
    with duckdb.connect(config=config) as own:
        own.execute("SET enable_progress_bar = false")
        for label, table in tables.items():
            own.register(label, table)
        # without this, a table that is not there would be looked for among the variables of Python
        own.execute("SET python_enable_replacements = false; SET lock_configuration = true")
        try:
            statements = own.extract_statements(text)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise ViewError("CH315", "$.content", message="one SELECT is due, and nothing else")
            used = {name: value for name, value in values.items() if name in mentioned}
            return own.execute(statements[0], used or None).to_arrow_table()
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            # these words are of the SQL alone: no row has been read yet
            raise ViewError("CH315", "$.content", message=str(error).splitlines()[0]) from None
        except FAILURES as error:
            raise ViewError("CH315", "$.content", message=f"DuckDB stopped with {type(error).__name__}") from None


def _bound(query: SqlQuery, given: Mapping[str, str]) -> dict[str, Any]:
    """The values of the parameters. Dates and times stay text, as they are in the columns of views."""
    if unknown := sorted(set(given) - set(query.parameters)):
        raise ViewError("CH316", "$.parameter", message=f"the query has no {', '.join(unknown)}")
    values: dict[str, Any] = {}
    for name, kind in query.parameters.items():
        if name not in given:
            raise ViewError("CH316", "$.parameter", message=f"{name} ({kind}) is not given")
        try:
            values[name] = _BINDERS[kind](given[name])
        except (ValueError, InvalidOperation):
            raise ViewError("CH316", "$.parameter", message=f"what is given for {name} is no {kind}") from None
    return values


def _integer(text: str) -> int:
    number = int(text)
    return number if abs(number) < 2**63 else _no()


def _boolean(text: str) -> bool:
    return text == "true" if text in {"true", "false"} else _no()


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    return number if number.is_finite() else _no()


def _date(text: str) -> str:
    return text if _DATE.match(text) and in_calendar(text) else _no()


def _date_time(text: str) -> str:
    return text if _DATE_TIME.match(text) and in_calendar(text) else _no()


def _no() -> NoReturn:
    raise ValueError


_BINDERS: Final[dict[str, Callable[[str], Any]]] = {
    "string": str,
    "integer": _integer,
    "decimal": _decimal,
    "boolean": _boolean,
    "date": _date,
    "dateTime": _date_time,
}
"""The types of parameters that the profile lists, and how a text becomes one."""


def _sql(library: Mapping[str, Any]) -> str:
    contents: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for i, content in enumerate(_objects(library, "content")):
        kind = _CONTENT.match(str(content.get("contentType", "")))
        if kind is not None:
            contents.setdefault((kind[1] or "").lower(), (i, content))
    chosen = next((contents[dialect] for dialect in _DIALECTS if dialect in contents), None)
    if chosen is None:
        there = f" but {', '.join(sorted(contents))}" if contents else ""
        raise ViewError("CH315", "$.content", message=f"there is no SQL for DuckDB, nor any without a dialect{there}")
    i, content = chosen
    data = content.get("data")
    try:
        if data is not None:
            return base64.b64decode("".join(str(data).split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ViewError("CH315", f"$.content[{i}].data", message="the base64 of a text is due here") from None
    for extension in _objects(content, "extension"):
        if str(extension.get("url", "")).endswith("/sql-text") and isinstance(extension.get("valueString"), str):
            return str(extension["valueString"])
    raise ViewError("CH315", f"$.content[{i}].data", message="the SQL is missing")


def _objects(parent: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = parent.get(key)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
