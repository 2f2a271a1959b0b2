"""The rows of a view as a file: Parquet, CSV, NDJSON or one JSON array."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

import duckdb
import msgspec
import pyarrow.parquet as pq

from transforms.sql_on_fhir import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

FORMATS = ("parquet", "csv", "ndjson", "json")
"""The formats of the standard's run operation, by the names that it gives them."""

BATCH = 10_000
"""Rows that are in memory at a time while JSON is written."""


def written(
    text: str, query: Callable[[str], duckdb.DuckDBPyRelation], target: Path, form: str, *, header: bool = True
) -> int:
    """Write the rows of a SELECT to a file, and return their number."""
    rows = query(f"SELECT * FROM ({text})")
    if form == "parquet":
        rows.to_parquet(str(target), compression="zstd")
        return int(pq.read_metadata(target).num_rows)
    if form == "csv":
        rows.to_csv(str(target), header=header)
        reader = f"read_csv({sql.text(str(target))}, header = {header})"
        counted = query(f"SELECT count(*) FROM {reader}").fetchone() if target.stat().st_size else None
        return int(counted[0]) if counted else 0
    with target.open("wb") as file:
        return _write_json(rows.to_arrow_reader(BATCH), file, lines=form == "ndjson")


def write_table(table: pa.Table, target: Path, form: str, *, header: bool = True) -> int:
    """Write a table that is in memory to a file, and return the number of its rows."""
    with duckdb.connect() as own:
        own.register("result", table)
        return written("SELECT * FROM result", own.sql, target, form, header=header)


def json_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Rows as JSON objects. A decimal is a number, without the zeros that its column has behind what was sent."""
    encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
    for row in rows:
        yield encoder.encode({name: _plain(value) for name, value in row.items()})


def _write_json(batches: pa.RecordBatchReader, file: BinaryIO, *, lines: bool) -> int:
    count = 0
    if not lines:
        file.write(b"[")
    for batch in batches:
        for row in json_rows(batch.to_pylist()):
            if not lines and count:
                file.write(b",\n")
            file.write(row + b"\n" if lines else row)
            count += 1
    if not lines:
        file.write(b"]\n")
    return count


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return Decimal(f"{value.normalize():f}")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
