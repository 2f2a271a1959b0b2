"""Reading values: results sent as text and canonical units, each as a ratio to a bare scan of the same columns.

    python -m benchmarks.values [--rows 2000000] [--different 50000] [--rounds 5]

The rows are made up: seven spellings of units over eight codes; texts of eight shapes, and so many different ones more
(`--different`), since each different text is read once. Prints the best of the rounds.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import duckdb

from transforms.values.results import result
from transforms.values.units import canonical, relations

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = "['mg/dL', 'MG/DL', 'mmol/L', 'mmHg', 'furlongs', NULL, 'x10E3/uL']"
CODES = "['mg/dL', 'mg/dL', 'mmol/L', 'mm[Hg]', NULL, NULL, '10*3/uL']"
LOINC = "['2345-7', '2093-3', '2160-0', '8480-6', '777-3', '5778-6', NULL, '718-7']"
TEXTS = "['<5.7', 'NEGATIVE', 'Not detected', '120', '5.4 mg/dL', 'SEE NOTE', '3-5 mg/dL', NULL]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--different", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        started = time.perf_counter()
        for statement in relations():
            connection.execute(statement)
        print(f"relations: {time.perf_counter() - started:.2f} s, once for each connection")
        connection.execute(
            f"CREATE TABLE sent AS SELECT (i % 500)::DOUBLE + 0.5 AS value, {UNITS}[1 + i % 7] AS unit,"
            f" {CODES}[1 + i % 7] AS code, 'http://unitsofmeasure.org' AS system, {LOINC}[1 + i % 8] AS loinc,"
            f" CASE WHEN i < {asked.different} THEN i::VARCHAR || '.5' ELSE {TEXTS}[1 + i % 8] END AS text"
            f" FROM range({asked.rows}) AS t(i)"
        )
        read = {
            "canonical units": (
                "value, unit, code, system, loinc",
                canonical("value", "unit", "code", "system", "loinc"),
            ),
            "results sent as text": ("text", result("text")),
        }
        for name, (columns, sql) in read.items():
            scanned = ", ".join(f"count({column})" for column in columns.split(", "))
            bare = min(timed(connection, f"SELECT {scanned} FROM sent") for _ in range(asked.rounds))
            whole = min(
                timed(connection, f"SELECT count(x), count(x.remark) FROM (SELECT {sql} AS x FROM sent)")
                for _ in range(asked.rounds)
            )
            print(f"{name}: {asked.rows / whole:,.0f} rows/s, {whole / bare:.1f} x a bare scan of its columns")


def timed(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    """Seconds that a query takes."""
    started = time.perf_counter()
    connection.execute(sql).fetchall()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
