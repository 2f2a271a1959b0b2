"""Many who read while a night publishes: each question is answered, and sees one night whole."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from charthouse.lake import records
from charthouse.lake.session import RECORDS, open_records, writing
from transforms.tables import tables

if TYPE_CHECKING:
    from pathlib import Path

READERS = 10
NIGHTS = 2
READ = ("vaccines", "visits", "conditions", "procedures")
"""Of a publication, which is one transaction over all, that many suffice to see half of it."""
PEOPLE = 2
READER = """
import sys, time
from pathlib import Path
from charthouse.lake.analyst import analyst
stop, *tables = sys.argv[1:]
seen, mixed, ends = set(), 0, False
while not ends:
    ends = Path(stop).exists()  # once more after the last night
    with analyst() as connection:
        for _ in range(3):
            whole = " UNION ALL ".join(f"SELECT status, count(*) AS n FROM {table} GROUP BY ALL" for table in tables)
            rows = connection.execute(f"SELECT DISTINCT status, n FROM ({whole})").fetchall()
            connection.execute("BEGIN")
            one_by_one = {row for table in tables[-2:] for row in connection.execute(
                f"SELECT status, count(*) FROM {table} GROUP BY ALL").fetchall()}
            connection.execute("COMMIT")
            mixed += len(rows) != 1 or len(one_by_one) != 1
            seen |= {status for status, _ in rows}
            time.sleep(0.5)
print(f'{{"mixed": {mixed}, "seen": {sorted(seen)}}}'.replace("'", '"'))
"""


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """A row of each category table for each person; the status of all says which night it is."""
    none = pa.table({name: pa.array([], pa.string()) for name in ("table_name", "row_key", "rule")})
    pq.write_table(none, tmp_path / "broken.parquet")
    with duckdb.connect() as connection:
        for night in range(NIGHTS + 1):
            for table in tables():
                folder = tmp_path / f"night-{night}" / table.name
                folder.mkdir(parents=True)
                connection.execute(table.create_sql("made"))
                connection.execute(
                    "INSERT INTO made BY NAME SELECT 'r' || range AS row_key, 'p' || range AS person_key, "
                    f"'l' || range AS link_id, 'night {night}' AS status, [] AS remarks FROM range({PEOPLE})"
                )
                connection.execute(f"COPY made TO '{folder / 'all.parquet'}'; DROP TABLE made")
    return tmp_path


def test_ten_readers_see_one_night_whole_while_the_next_are_published(home: Path, staged: Path) -> None:
    def night(number: int) -> None:
        people = {f"p{each}": number + 1 for each in range(PEOPLE)}
        with writing(RECORDS), open_records() as connection:
            records.publish(connection, staged / f"night-{number}", staged / "broken.parquet", people)
        with writing(RECORDS), open_records() as connection:
            records.compact(connection)

    night(0)
    stop = staged / "stop"
    command = [sys.executable, "-c", READER, str(stop), *READ]
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(READERS)
    ]
    for number in range(1, NIGHTS + 1):
        night(number)
    stop.touch()
    ended = [(*reader.communicate(timeout=300), reader.returncode) for reader in readers]
    assert [said for _, said, code in ended if code] == []
    answers = [json.loads(said) for said, _, _ in ended]
    assert {answer["mixed"] for answer in answers} == {0}
    assert all(f"night {NIGHTS}" in answer["seen"] for answer in answers)
    assert len({night for answer in answers for night in answer["seen"]}) > 1, "they read while nights were published"
