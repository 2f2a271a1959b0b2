"""The rows of one category of a person: newest day first, read in pieces that are small enough to be sorted.

Within a day the order is that of places (`lanes`), so that a day of a million rows is read in pieces, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from charthouse.privacy.export.lanes import PLACES, bound, everything, lanes, place, rows
from transforms.tables.text import quoted as quoted_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import duckdb
    import pyarrow as pa

    from transforms.tables import Table

PIECE_ROWS: Final = 4_000
MEASURED_MOST: Final = 20_000
"""Values of one series that are read: of more, an even part."""
UNDATED: Final = "0001-01-01"
DATES: Final = ("effective_start", "recorded_at")
"""Which date of a row counts, the first that is there."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a series, with the reference range that came with it."""

    code: str
    unit: str
    name: str
    at: datetime
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class _Piece:
    """The rows of some days, or of one day those of some places."""

    newest: str
    oldest: str
    low: int
    high: int


class Sheet:
    """One category, laid down in a table of the connection's own. One at a time."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, table: Table, condition: str, values: Sequence[Any]
    ) -> None:
        self._connection, self._table = connection, table
        self.dates = DATES
        self._date = f"coalesce({', '.join(self.dates)})"
        day = f"coalesce({self._date}::DATE, DATE '{UNDATED}')"
        everything(
            connection,
            f"CREATE OR REPLACE TABLE sheet AS SELECT *, {day} AS sheet_day, {place('row_key')} AS sheet_place "
            f"FROM records.{table.name} {condition}",
            values,
        )
        self.columns = [column.name for column in table.columns]

    def shown(self) -> Iterator[dict[str, Any]]:
        """The rows for people, newest first; those without a date at the end."""
        order = f"{self._date} DESC NULLS LAST, row_key"
        for piece in self._pieces(None):
            for row in rows(self._connection, *self._select(piece, None, order)):
                yield dict(zip(self.columns, row, strict=False))

    def written(self, after: Sequence[Any] | None) -> Iterator[tuple[list[Any], tuple[Any, ...]]]:
        """(key, row) of the rows behind a key, in the order of the keys."""
        for piece in self._pieces(after):
            for row in rows(self._connection, *self._select(piece, after, "sheet_day DESC, sheet_place")):
                yield [str(row[-2]), row[-1]], row[:-2]

    def batches(self, after: Sequence[Any] | None, size: int) -> Iterator[tuple[list[Any], pa.RecordBatch]]:
        """(key, rows) behind a key as Arrow batches; the key is that of the last row."""
        for piece in self._pieces(after):
            query = bound(*self._select(piece, after, "sheet_day DESC, sheet_place"))
            for batch in self._connection.cursor().execute(query).to_arrow_reader(size):
                if batch.num_rows:
                    last = batch.num_rows - 1
                    key = [str(batch.column("sheet_day")[last].as_py()), batch.column("sheet_place")[last].as_py()]
                    yield key, batch.select(self.columns)

    def measured(self, most: int) -> Iterator[Point]:
        """What was measured twice or more, a series after the other, oldest first: the `most` longest ones."""
        what, unit = "coalesce(loinc_code, code, text, display)", "coalesce(value_unit, '')"
        there = f"NOT is_entered_in_error AND value IS NOT NULL AND {self._date} IS NOT NULL AND {what} IS NOT NULL"
        series = f"""
            SELECT {what}, {unit}, count(*) FROM sheet WHERE {there}
            GROUP BY ALL HAVING count(DISTINCT {self._date}) > 1 ORDER BY 3 DESC, 1, 2 LIMIT {int(most)}
        """
        for code, unit_text, count in everything(self._connection, series):
            every = max(1, -(-count // MEASURED_MOST))
            query = f"""
                SELECT coalesce(text, display, code), {self._date}, value,
                       reference_ranges[1].low, reference_ranges[1].high
                FROM sheet WHERE {there} AND {what} = ? AND {unit} = ? AND sheet_place % {every} = 0
                ORDER BY {self._date}, sheet_place
            """
            for name, at, value, low, high in rows(self._connection, query, [code, unit_text]):
                yield Point(code, unit_text, name or code, at, value, low, high)

    def newest(self, columns: str, where: str, per: str, each: int, most: int) -> list[tuple[Any, ...]]:
        """Of the newest `most` rows some columns; with `each`, at most so many of one `per`. All SQL is ours."""
        chosen = f"({where})"
        if each:
            tops = f"""
                SELECT unnest(arg_max(row_key, coalesce({self._date}, TIMESTAMPTZ '{UNDATED}'), {int(each)}))
                FROM sheet WHERE {where} GROUP BY {per}
            """
            chosen = f"row_key IN ({tops})"
        query = f"""
            SELECT {columns} FROM sheet WHERE {chosen}
            ORDER BY {self._date} DESC NULLS LAST, row_key LIMIT {int(most)}
        """
        return everything(self._connection, query)

    def _select(self, piece: _Piece, after: Sequence[Any] | None, order: str) -> tuple[str, list[Any]]:
        names = ", ".join(quoted_name(name) for name in self.columns)
        condition = "sheet_day <= ?::DATE AND sheet_day >= ?::DATE AND sheet_place >= ? AND sheet_place < ?"
        values: list[Any] = [piece.newest, piece.oldest, piece.low, piece.high]
        if after is not None:
            condition += " AND (sheet_day < ?::DATE OR (sheet_day = ?::DATE AND sheet_place > ?))"
            values += [after[0], after[0], after[1]]
        return f"SELECT {names}, sheet_day, sheet_place FROM sheet WHERE {condition} ORDER BY {order}", values

    def _pieces(self, after: Sequence[Any] | None) -> Iterator[_Piece]:
        """Pieces of about `PIECE_ROWS`, in order; those before the key `after` are left out."""
        query = "SELECT sheet_day::VARCHAR, count(*) FROM sheet GROUP BY ALL ORDER BY 1 DESC"
        newest, oldest, held = "", "", 0
        for day, count in everything(self._connection, query):
            if after is not None and day > after[0]:
                continue
            if held and held + count > PIECE_ROWS:
                yield _Piece(newest, oldest, 0, PLACES)
                held = 0
            if count > PIECE_ROWS:
                begin = after[1] + 1 if after is not None and day == after[0] else 0
                yield from (_Piece(day, day, low, high) for low, high in lanes(count, PIECE_ROWS, begin=begin))
                continue
            newest, oldest, held = (newest if held else day), day, held + count
        if held:
            yield _Piece(newest, oldest, 0, PLACES)
