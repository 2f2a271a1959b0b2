"""The house rules as DuckDB SQL: what a raw value of a view becomes in a table.

Every function takes SQL expressions and gives one. An unreadable value becomes NULL: it never fails a build.
"""

from __future__ import annotations

from transforms.tables.declaration import DATES, INTEGERS, ViewColumn

FIRST = (
    ("row_key", "VARCHAR", "Names the row: `<resource_key>/<row number>`. Unique."),
    ("person_key", "VARCHAR", "The person: random, says nothing about who it is."),
    ("link_id", "VARCHAR", "The link (a person at a provider) that the record came by."),
    ("resource_key", "VARCHAR", "The FHIR resource: `<link_id>/<Type>/<id>`."),
)
LAST = (("last_updated", "TIMESTAMPTZ", "When the provider last changed the resource (`meta.lastUpdated`)."),)

_REFERENCE = r"^(?:.*/)?([A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?$"


def quoted(name: str) -> str:
    """A column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def earliest_instant(text: str) -> str:
    """The earliest instant that a FHIR date, dateTime or instant can mean, as TIMESTAMPTZ.

    A date that lacks its month or day starts with the first; what has no zone is taken in UTC. Source: FHIR R4,
    datatypes (date, dateTime, instant).
    """
    return (
        f"TRY_CAST(CASE WHEN starts_with({text}, '0000') THEN NULL"
        f" WHEN length({text}) = 4 THEN {text} || '-01-01T00:00:00Z'"
        f" WHEN length({text}) = 7 THEN {text} || '-01T00:00:00Z'"
        f" WHEN length({text}) = 10 THEN {text} || 'T00:00:00Z' WHEN length({text}) = 16 THEN {text} || ':00Z'"
        rf" WHEN NOT regexp_matches({text}, 'T.*(Z|[+-]\d\d:\d\d)$') THEN {text} || 'Z'"
        rf" ELSE regexp_replace({text}, '^(.{{10}}T\d\d:\d\d)(Z|[+-])', '\1:00\2') END AS TIMESTAMPTZ)"
    )


def date_precision(text: str) -> str:
    """How exact a FHIR date, dateTime or instant is: year, month, day, minute or second."""
    return (
        f"CASE WHEN {earliest_instant(text)} IS NULL THEN NULL"
        f" WHEN length({text}) = 4 THEN 'year' WHEN length({text}) = 7 THEN 'month' WHEN length({text}) = 10 THEN 'day'"
        rf" WHEN regexp_matches({text}, '^.{{10}}T\d\d:\d\d(Z|[+-].*)?$') THEN 'minute' ELSE 'second' END"
    )


def number(text: str) -> str:
    """A decimal as DOUBLE; NULL where it is none, or too great for one."""
    return f"CASE WHEN isfinite(TRY_CAST({text} AS DOUBLE)) THEN TRY_CAST({text} AS DOUBLE) END"


def digits(text: str) -> str:
    """The digits of a decimal as they were sent."""
    return f"CASE WHEN {text} SIMILAR TO '[-+.0-9eE]+' AND TRY_CAST({text} AS DOUBLE) IS NOT NULL THEN {text} END"


def reference_key(reference: str) -> str:
    """`<link_id>/<Type>/<id>` of a FHIR reference: relative, absolute, or to a version.

    A contained resource (`#id`) is `<resource_key>#<id>`. Other references (`urn:`, conditional, by identifier alone)
    name no resource that can be scoped, and become NULL.
    """
    return (
        f"CASE WHEN regexp_full_match({reference}, '#[A-Za-z0-9\\-.]{{1,64}}') THEN resource_key || {reference}"
        f" WHEN regexp_matches({reference}, '{_REFERENCE}')"
        f" THEN link_id || '/' || regexp_extract({reference}, '{_REFERENCE}', 1) END"
    )


def table_expressions(column: ViewColumn) -> tuple[str, ...]:
    """The SQL of each table column that a view column becomes, over its raw text (numbers and booleans typed)."""
    raw = quoted(column.name)
    if column.type in DATES:
        return (earliest_instant(raw), date_precision(raw))
    if column.type == "decimal":
        return (number(raw), digits(raw))
    return (reference_key(raw) if column.is_key else raw,)


def raw_expression(column: ViewColumn, *stand_ins: ViewColumn) -> str:
    """The first value that is there, typed for `table_expressions`."""
    names = [quoted(each.name) for each in (column, *stand_ins)]
    kind = "BIGINT" if column.type in INTEGERS else {"boolean": "BOOLEAN"}.get(column.type, "VARCHAR")
    typed = [f"TRY_CAST({name} AS {kind})" for name in names]
    if kind == "VARCHAR":  # FHIR has no empty strings; join() of nothing gives one
        typed = [f"nullif({each}, '')" for each in typed]
    return f"coalesce({', '.join(typed)})" if len(typed) > 1 else typed[0]
