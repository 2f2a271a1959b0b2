"""Observations that stand inside other resources: results contained in a report, the answers of a form.

`stage` makes of them a table that `transforms.tables.references` puts beside the Observations that were sent by
themselves: they are laid out with those, each for its own table.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from transforms.tables.answers import survey_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    Json = dict[str, Any]

INNER: Final = "inner_observations"
INNER_TYPES: Final = ("DiagnosticReport", "QuestionnaireResponse")
"""The types that Observations are found in."""
SURVEYS: Final = "surveys"
CONTAINED: Final = "contained_results"
EVERYTHING: Final = "told"
"""A relation of `resource_type` and `resource`: what is staged, and what was found inside, each as what it is."""
_AT_ONCE = 500
_COLUMNS = ("nth", "resource_type", "resource_id", "category", "resource")


def create_sql() -> str:
    """The table of what stands inside, empty where nobody has looked: `nth` is the row that it stands in."""
    columns = ", ".join(f"{name} {'BIGINT' if name == 'nth' else 'VARCHAR'}" for name in _COLUMNS)
    return f"CREATE TABLE IF NOT EXISTS {INNER} ({columns})"


def stage(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    """Make the table of what stands inside the resources of a relation, and `EVERYTHING`.

    Args:
        connection: where the relation is.
        source: a table with `resource_type, resource_id, resource`.
    """
    connection.execute(f"DROP VIEW IF EXISTS {EVERYTHING}; DROP TABLE IF EXISTS {INNER}; {create_sql()}")
    connection.execute(
        f"CREATE OR REPLACE VIEW {EVERYTHING} AS SELECT resource_type, resource FROM {source}"
        f" UNION ALL SELECT 'Observation', resource FROM {INNER}"
    )
    with connection.cursor() as cursor:
        holding = cursor.execute(
            f"SELECT rowid, resource_type, resource_id, resource FROM {source} WHERE resource_type ="
            " 'QuestionnaireResponse' OR (resource_type = 'DiagnosticReport' AND contains(resource, '\"contained\"'))"
            " ORDER BY link_id, resource_type, resource_id"
        )
        while some := holding.fetchmany(_AT_ONCE):
            found = [
                (nth, kind, name, category, json.dumps(each))
                for nth, kind, sent_id, text in some
                for name, category, each in inner_observations(kind, sent_id, text)
            ]
            if found:
                columns = [list(column) for column in zip(*found, strict=True)]
                listed = ", ".join("unnest(?)" for _ in _COLUMNS)
                connection.execute(f"INSERT INTO {INNER} SELECT {listed}", columns)


def inner_observations(resource_type: str, resource_id: str, text: str) -> Iterator[tuple[str, str, Json]]:
    """What a resource has of Observations inside: the id under which each is known, its table, itself.

    A resource that is contained is known as `<id of the resource>#<its own>`. Numbers are texts, as they were sent.
    """
    try:
        sent = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return
    if not isinstance(sent, dict):
        return
    if resource_type == "QuestionnaireResponse":
        yield resource_id, SURVEYS, survey_of(sent)
        return
    held = sent.get("contained")
    known: set[str] = set()
    for each in held if isinstance(held, list) else [held]:
        if isinstance(each, dict) and each.get("resourceType") == "Observation":
            # An escape may stand for half of a character, which no database takes.
            name = str(each.get("id", "")).lstrip("#").encode(errors="replace").decode()
            if name and name not in known:
                known.add(name)
                yield f"{resource_id}#{name}", CONTAINED, _of_report(sent, each)


def _of_report(report: Json, observation: Json) -> Json:
    """A contained Observation, with what a report says for all of its results where it does not say that itself."""
    made = {"subject": report["subject"]} if "subject" in report else {}
    if not any(name.lstrip("_").startswith("effective") for name in observation):
        made |= {name: value for name, value in report.items() if name.lstrip("_").startswith("effective")}
    if "encounter" in report:
        made["encounter"] = report["encounter"]
    return {**made, **observation}
