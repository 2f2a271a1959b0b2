"""Some people's rows of the ten tables, narrowed to what answers need: what their shelves are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from transforms.coach.facts import PersonRecords, Row
from transforms.coach.selecting import TABLES, rows_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

AT_ONCE = 2048


def records_of(connection: duckdb.DuckDBPyConnection, people: Sequence[str]) -> dict[str, PersonRecords]:
    """The records of each of these people, as the records stand; of whom there is nothing, an empty one."""
    decoder = msgspec.json.Decoder(Row)
    found: dict[str, list[Row]] = {person: [] for person in people}
    connection.execute("BEGIN")  # all tables as one publication left them
    try:
        built = connection.execute(
            "SELECT person_key, vault_seq FROM records.built_people WHERE person_key IN (SELECT unnest($people))",
            {"people": list(people)},
        ).fetchall()
        for table in TABLES:
            query = rows_sql(
                table, f"records.{table}", "records.medication_dosages", "records.duplicates", "$people::VARCHAR[]"
            )
            answer = connection.execute(query, {"people": list(people)})
            while some := answer.fetchmany(AT_ONCE):
                for person, text in some:
                    found[person].append(decoder.decode(text))
    finally:
        connection.execute("ROLLBACK")
    sequence = dict(built)
    return {
        person: PersonRecords(seq=sequence.get(person, -1), rows=tuple(sorted(rows, key=lambda row: row.row_key)))
        for person, rows in found.items()
    }
