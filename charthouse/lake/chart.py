"""An answer with a date and a number, drawn with signs for a terminal."""

from __future__ import annotations

import shutil
from collections import defaultdict
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from charthouse.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    import duckdb

DATES = ("DATE", "TIMESTAMP")
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "FLOAT", "DOUBLE", "DECIMAL")  # fmt: skip
MARKERS = "ox+*#@"
MOST_ROWS = 100_000
NARROWEST, WIDEST, HIGH = 30, 110, 16
BESIDE = 28
"""Columns of the terminal beside the drawing: the numbers on its left, what the arrow is called on its right."""

MOST_DIGITS = 10_000_000.0
YEARS = range(1000, 3000)
"""A date outside of these is infinity or a slip, and would leave no room for the others."""

Points = list[tuple[datetime, float]]


def draw(relation: duckdb.DuckDBPyRelation) -> str:
    """The picture of an answer: its first date to the right, its numbers upwards, each a line or a cloud of its own.

    Where there is one number and a column of words with few of them, each of these words has its own. A line is drawn
    where there is one number a moment and nobody else is among the words, else points. Rows beyond 100,000 are left
    out, which the last line says.

    Raises:
        SetupError: CH415 where there is no date or no number.
    """
    kinds = [str(kind) for kind in relation.types]
    when = _first(kinds, DATES)
    numbers = [index for index, kind in enumerate(kinds) if kind.startswith(NUMBERS)]
    if when is None or not numbers:
        raise SetupError("CH415", what=f"there is no {'date' if when is None else 'number'} among its columns")
    rows = relation.fetchmany(MOST_ROWS + 1)
    words = _first(kinds, ("VARCHAR",))
    series = _series(rows[:MOST_ROWS], when, numbers[: len(MARKERS)], words, relation.columns)
    if not series:
        return "There is nothing to draw: no row has a date and a number.\n"
    notes = ["Only the first 100,000 rows are drawn.\n"] if len(rows) > MOST_ROWS else []
    notes += ["Only the first six numbers are drawn.\n"] if len(numbers) > len(MARKERS) else []
    # Numbers of many people, one after the other, are no line.
    apart = words is None or len({row[words] for row in rows}) <= (len(MARKERS) if len(numbers) == 1 else 1)
    return "".join([_picture(series, relation.columns[when], lines=apart), *notes])


def _series(
    rows: Sequence[Sequence[Any]], when: int, numbers: Sequence[int], words: int | None, names: Sequence[str]
) -> dict[str, Points]:
    """The points of each series, by its name."""
    few = words is not None and len({row[words] for row in rows}) <= len(MARKERS)
    split = words if few and len(numbers) == 1 else None
    found: dict[str, Points] = defaultdict(list)
    for row in rows:
        at = _moment(row[when])
        for index in numbers:
            value = row[index]
            if at is not None and value is not None and _is_finite(value):
                found[names[index] if split is None else str(row[split])].append((at, float(value)))
    return {name: sorted(points) for name, points in found.items()}


def _picture(series: dict[str, Points], across: str, *, lines: bool) -> str:
    import plotille

    figure = plotille.Figure()
    figure.with_colors = False
    figure.width = min(max(shutil.get_terminal_size().columns - BESIDE, NARROWEST), WIDEST)
    figure.height = HIGH
    figure.x_label, figure.y_label = across, next(iter(series)) if len(series) == 1 else "value"
    figure.register_label_formatter(float, _number)
    figure.register_label_formatter(datetime, _day)
    values = [value for points in series.values() for _, value in points]
    low, high = min(values), max(values)
    if 0 <= low < high / 2:  # counts and the like are seen from nothing upwards
        figure.set_y_limits(min_=0.0, max_=high * 1.1)
    for (name, points), marker in zip(series.items(), MARKERS, strict=False):
        moments, heights = [at for at, _ in points], [value for _, value in points]
        is_line = lines and len(set(moments)) == len(moments) > 1
        shown = figure.plot if is_line else figure.scatter
        shown(moments, heights, label=name, marker=marker if len(series) > 1 or not is_line else None)
    return str(figure.show(legend=len(series) > 1)) + "\n"


def _first(kinds: Sequence[str], wanted: tuple[str, ...]) -> int | None:
    return next((index for index, kind in enumerate(kinds) if kind.startswith(wanted)), None)


def _moment(value: date | datetime | None) -> datetime | None:
    if value is None or value.year not in YEARS:
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)  # the connection is in UTC
    return datetime.combine(value, time.min)


def _is_finite(value: float | Decimal) -> bool:
    return float("-inf") < value < float("inf")


def _number(value: float, chars: int, delta: float, left: bool = False) -> str:  # noqa: ARG001
    said = f"{value:,.0f}" if 1000 <= abs(value) < MOST_DIGITS else f"{value:.4g}"
    return said.ljust(chars) if left else said.rjust(chars)


def _day(value: datetime, chars: int, delta: Any, left: bool = False) -> str:  # noqa: ARG001
    said = f"{value:%Y-%m-%d}" if chars >= len("2024-01-01") else f"{value:%y-%m-%d}"
    return said.ljust(chars) if left else said.rjust(chars)
