"""The recipes of docs/analysts.md over the records, against the same queries over plain Parquet files.

    python -m benchmarks.analysts [--rows 10000000] [--people 20000] [--times 3] [--keep DIR]

Made-up rows are written into the lake of a home of their own, with all columns of the tables, and from there into
Parquet files ordered by person, without encryption; DIR keeps both for the next time. Each recipe is asked in turns on
both sides, whose answers are compared first; one without rows is left out. Processor seconds, the least of several; the
figure to read is the ratio. An answer that takes less than a tenth of a second is mostly the reading of the catalog and
the footers of several files a table, where plain Parquet has one.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from charthouse.lake.analyst import BYTES, analyst
from charthouse.lake.buckets import bucket_of
from charthouse.lake.records import compact
from charthouse.lake.session import connect, open_records
from charthouse.operating.home import prepare
from charthouse.settings import get_settings
from transforms.tables import sql_views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = Path(__file__).resolve().parent.parent / "docs" / "analysts.md"
RECIPE = re.compile(r"^### ([^\n]+)\n(?:(?!^###).)*?```sql\n(.*?)```", re.DOTALL | re.MULTILINE)
ALLOWED = 1.5
MEMORY = "4GB"
SLICES = 16
"""In so many parts everything is written, each of people who stand in one partition."""
MADE = "made"
"""The marker of a folder in which everything stands."""
PERSON, LINK = "md5('p' || n % $people)", "'link-' || (n % $people)"
COMMON = f"""
    {PERSON} AS person_key, {LINK} AS link_id, 'clinic-' || (n % 40) AS provider, 'direct' AS route, 'final' AS status,
    {LINK} || '/Observation/' || n AS resource_key, false AS is_entered_in_error, false AS is_negated,
    TIMESTAMPTZ '2010-01-01' + to_minutes((n * 7919) % 8000000) AS effective_start,
    'second' AS effective_start_precision,
    CAST(TIMESTAMP '2010-01-01' + to_minutes((n * 7919) % 8000000) AS DATE) AS effective_start_day,
    now() AS last_updated, [] AS remarks, '1' AS mapping_version"""
LOINC = "['2345-7', '4548-4', '2093-3', '18262-6', '2085-9', '2571-8', '2160-0', '718-7', '2951-2', '6690-2']"
MEASURED = f"""
    'http://loinc.org' AS code_system, 'Made-up measurement' AS display, 40 + (n * 31) % 200 AS value,
    CAST(40 + (n * 31) % 200 AS VARCHAR) AS value_text, 'mg/dL' AS value_unit, 'mg/dL' AS value_unit_code,
    'Quantity' AS value_type, true AS has_value, {COMMON}"""
PARTS: dict[str, tuple[float, str]] = {
    "lab_results": (
        0.55,
        f"""SELECT resource_key || '/0' AS row_key, 0 AS component_number, false AS has_components, loinc_code AS code,
              value AS value_canonical, 'mg/dL' AS value_canonical_unit, *
            FROM (SELECT {LOINC}[1 + (n // $people) % 10] AS loinc_code, {MEASURED} FROM numbers)""",
    ),
    "vitals": (  # a panel and its two sides
        0.24,
        f"""SELECT resource_key || '/' || part AS row_key, part AS component_number, true AS has_components,
              '85354-9' AS observation_code, loinc_code AS code,
              * EXCLUDE (value, value_text, has_value, part),
              CASE part WHEN 1 THEN 100 + value % 60 WHEN 2 THEN 60 + value % 30 END AS value,
              CASE part WHEN 1 THEN 100 + value % 60 WHEN 2 THEN 60 + value % 30 END AS value_canonical,
              'mm[Hg]' AS value_canonical_unit, part > 0 AS has_value
            FROM (SELECT part, ['85354-9', '8480-6', '8462-4'][part + 1] AS loinc_code, {MEASURED}
                  FROM numbers, range(3) AS parts(part) WHERE n < $rows * 0.08)""",
    ),
    "conditions": (
        0.05,
        f"""SELECT resource_key || '/0' AS row_key, 'Made-up condition ' || snomed_code AS text, *
            FROM (SELECT CAST(44054000 + (n * 13) % 500 AS VARCHAR) AS snomed_code, {COMMON} FROM numbers)""",
    ),
    "medications": (
        0.04,
        f"""SELECT resource_key || '/0' AS row_key, 'request' AS record_type, 'order' AS intent, *
              REPLACE (CASE WHEN hash(resource_key) % 5 = 0 THEN 'active' ELSE 'stopped' END AS status)
            FROM (SELECT ['312961', '314231', '197361', '860975'][1 + n % 4] AS rxnorm_code,
                    ['Simvastatin 20 MG', 'Simvastatin 10 MG', 'Amlodipine', 'Metformin'][1 + n % 4] AS display,
                    'one a day' AS dosage_text, {COMMON} FROM numbers)""",
    ),
    "vaccines": (
        0.02,
        f"""SELECT resource_key || '/0' AS row_key, * REPLACE ('completed' AS status)
            FROM (SELECT ['140', '150', '207', '115'][1 + n % 4] AS cvx_code, {COMMON} FROM numbers)""",
    ),
    "visits": (
        0.03,
        f"""SELECT resource_key || '/0' AS row_key, 'Check-up' AS text,
              CASE WHEN hash(resource_key) % 20 = 0 THEN 'IMP' ELSE 'AMB' END AS class_code,
              * REPLACE ('finished' AS status)
            FROM (SELECT {COMMON} FROM numbers)""",
    ),
    "medication_dosages": (
        0.04,
        f"""SELECT resource_key || '/0/1' AS row_key, resource_key || '/0' AS parent_key, 1 AS number,
              'one a day' AS words, person_key, link_id, resource_key, remarks, mapping_version
            FROM (SELECT {COMMON} FROM numbers)""",
    ),
    **dict.fromkeys(
        ("allergies", "procedures"),
        (0.01, f"SELECT resource_key || '/0' AS row_key, 'Made up' AS text, * FROM (SELECT {COMMON} FROM numbers)"),
    ),
    **dict.fromkeys(
        ("pregnancy", "social_history"),
        (
            0.01,
            f"SELECT resource_key || '/0' AS row_key, 0 AS component_number, * FROM (SELECT {MEASURED} FROM numbers)",
        ),
    ),
}
"""The share of the rows that each table has, and its made-up rows, out of `numbers(n)`."""


def fill(rows: int, people: int) -> None:
    """Write the made-up rows into the records, and compact these with the memory that a night has for it."""
    everybody: dict[int, list[int]] = {}
    for number in range(people):
        key = md5(f"p{number}".encode(), usedforsecurity=False).hexdigest()
        everybody.setdefault(bucket_of(key, SLICES), []).append(number)
    with open_records() as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        for table, (share, select) in PARTS.items():
            each = max(1, round(rows * share / people))
            text = select.replace("$people", str(people)).replace("$rows", str(rows))
            for numbers in everybody.values():
                connection.execute("CREATE OR REPLACE TEMP TABLE chosen AS SELECT unnest(?::BIGINT[]) AS p", [numbers])
                made = f"SELECT p + {people} * nth AS n FROM chosen, range({each}) AS made(nth)"
                connection.execute(f"INSERT INTO records.{table} BY NAME WITH numbers AS ({made}) {text}")
            print(f"  {table}: {each * people:,} rows", flush=True)
        keys = f"SELECT md5('p' || n), 1, '' FROM range({people}) AS made(n)"
        connection.execute(f"INSERT INTO records.built_people {keys}")
    with open_records() as connection:
        began = time.process_time()
        compact(connection)
        print(f"  compacted in {time.process_time() - began:.0f} processor seconds", flush=True)


def copy(folder: Path) -> None:
    """Every table of the records as a plain Parquet file."""
    with open_records(read_only=True) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        found = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'records'").fetchall()
        for (name,) in found:
            ordered = "ORDER BY person_key" if name in PARTS else ""
            connection.execute(f"COPY (FROM records.{name} {ordered}) TO '{folder / name}.parquet' (FORMAT parquet)")


def plain(folder: Path, names: list[str]) -> duckdb.DuckDBPyConnection:
    """A connection to the Parquet files alone, under the same names, with the same views."""
    connection = connect()
    connection.execute(f"SET memory_limit = '{BYTES}B'")
    for name in names:
        connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{folder / name}.parquet')")
    waiting = list(sql_views())
    while waiting:  # a view may stand on others
        view = waiting.pop(0)
        try:
            connection.execute(view.create_sql(view.name))
        except duckdb.CatalogException:
            waiting.append(view)
    return connection


def compare(
    lake: duckdb.DuckDBPyConnection, files: duckdb.DuckDBPyConnection, times: int
) -> Iterator[tuple[float, float]]:
    """Ask every recipe on both sides, in turns; print the ratios and give the seconds."""
    for name, query in RECIPE.findall(PAGE.read_text(encoding="utf-8")):
        counted = f"SELECT count(*), bit_xor(hash(answer::VARCHAR)) FROM ({query.strip().rstrip(';')}) AS answer"
        sides: dict[str, Callable[[], object]] = {
            "lake": lambda q=counted: lake.execute(q).fetchone(),
            "files": lambda q=counted: files.execute(q).fetchone(),
        }
        answers = {side: ask() for side, ask in sides.items()}
        assert answers["lake"] == answers["files"], name
        rows = answers["lake"][0]
        if not rows:
            continue
        least = dict.fromkeys(sides, float("inf"))
        for _ in range(times):
            for side, ask in sides.items():
                began = time.process_time()
                ask()
                least[side] = min(least[side], time.process_time() - began)
        ratio = least["lake"] / least["files"]
        print(f"{name:55} {rows:>9,} {least['lake']:8.3f} {least['files']:8.3f} {ratio:6.2f}", flush=True)
        yield least["lake"], least["files"]


def main() -> None:
    """Make, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder: Path = given.keep or Path(name)
        os.environ["CHARTHOUSE_HOME"] = str(folder / "home")
        get_settings.cache_clear()
        prepare()
        if not (folder / MADE).exists():
            fill(given.rows, given.people)
            copy(folder)
            (folder / MADE).touch()
        names = [file.stem for file in folder.glob("*.parquet")]
        print(f"{'recipe':55} {'rows':>9} {'lake':>8} {'files':>8}  ratio")
        with analyst() as lake, plain(folder, names) as files:
            taken = list(compare(lake, files, given.times))
    print(f"together {sum(lake for lake, _ in taken) / sum(files for _, files in taken):.2f}; {ALLOWED} is allowed")


if __name__ == "__main__":
    main()
