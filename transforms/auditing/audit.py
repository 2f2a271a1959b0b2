"""The audit of a table: of one frame, or of a run's staged Parquet files read in chunks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from transforms.auditing.judge import Verdict, judge
from transforms.auditing.suites import COLUMN_SET, UNIQUE, Rule, rules_of
from transforms.tables import Table, table, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

CHUNK_ROWS = 25_000
EARLIEST = datetime(1880, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TableAudit:
    """What the audit of a table said.

    `held` is False only where the table may be published: no table rule failed and each rule was evaluated.
    `broken_rows` are (rule, row_key): rows to withhold. `table_failures` are table rules that failed. `errors` are
    rules that could not be evaluated (CH403): a fault of the suite or of the build, not of the data.
    """

    table: str
    rows: int
    held: bool
    broken_rows: tuple[tuple[str, str], ...]
    table_failures: tuple[str, ...]
    errors: tuple[str, ...]


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    broken: set[tuple[str, str]] = field(default_factory=set)
    failures: set[str] = field(default_factory=set)
    errors: set[str] = field(default_factory=set)

    def add(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            if verdict.error:
                self.errors.add(verdict.rule.id)
            elif verdict.rule.level == "row":
                self.broken.update((verdict.rule.id, key) for key in verdict.row_keys)
            elif not verdict.held:
                self.failures.add(verdict.rule.id)

    def audit(self, name: str) -> TableAudit:
        return TableAudit(
            table=name,
            rows=self.rows,
            held=bool(self.failures or self.errors),
            broken_rows=tuple(sorted(self.broken)),
            table_failures=tuple(sorted(self.failures)),
            errors=tuple(sorted(self.errors)),
        )


def audit_table(name: str, frame: pd.DataFrame) -> TableAudit:
    """Audit one frame, which should have exactly the columns of the table.

    Raises:
        KeyError: there is no such table.
    """
    tally = _Tally(rows=len(frame))
    audited = table(name)
    parameters = _parameters(audited, datetime.now(UTC))
    columns, unique, others = _parts(rules_of(name))
    tally.add(judge(columns, frame.iloc[:0], parameters))
    for rule in unique:
        repeated = (
            frame[frame.duplicated(rule.kwargs["column"], keep=False)] if rule.kwargs["column"] in frame else frame
        )
        tally.add(judge([rule], repeated, parameters))
    read = frame[[column for column in _read(audited, others) if column in frame]]
    for start in range(0, max(len(frame), 1), CHUNK_ROWS):
        tally.add(judge(others, read.iloc[start : start + CHUNK_ROWS], parameters))
    return tally.audit(name)


def audit_staged(folder: Path) -> list[TableAudit]:
    """Audit every table of a run, from `folder/<table>/*.parquet`. A table without files has no rows and passes."""
    now = datetime.now(UTC)
    return [_audit_files(each, sorted((folder / each.name).glob("*.parquet")), now) for each in tables()]


def _audit_files(audited: Table, files: Sequence[Path], now: datetime) -> TableAudit:
    tally = _Tally()
    parameters = _parameters(audited, now)
    columns, unique, others = _parts(rules_of(audited.name))
    for schema in {tuple(_schema(file).names): _schema(file) for file in files}.values():
        tally.add(judge(columns, schema.empty_table().to_pandas(), parameters))
    for frame in _chunks(files, _read(audited, others)):
        tally.rows += len(frame)
        tally.add(judge(others, frame, parameters))
    if tally.rows:
        for rule in unique:
            tally.add(judge([rule], _repeated(files, rule.kwargs["column"]), parameters))
    return tally.audit(audited.name)


def _parts(rules: Sequence[Rule]) -> tuple[list[Rule], list[Rule], list[Rule]]:
    columns = [rule for rule in rules if rule.type == COLUMN_SET]
    unique = [rule for rule in rules if rule.type == UNIQUE]
    return columns, unique, [rule for rule in rules if rule.type not in {COLUMN_SET, UNIQUE}]


def _read(audited: Table, rules: Sequence[Rule]) -> list[str]:
    """The columns that the rules read, in the table's order; a frame of those alone is several times as fast."""
    declared = frozenset(column.name for column in audited.columns)
    needed = frozenset({"row_key"}).union(*(rule.columns(declared) for rule in rules))
    return [column.name for column in audited.columns if column.name in needed]


def _parameters(audited: Table, now: datetime) -> dict[str, Any]:
    return {
        "columns": [column.name for column in audited.columns],
        "earliest": EARLIEST,
        "tomorrow": now + timedelta(days=1),
        "latest": now + timedelta(days=2 * 365),
    }


def _schema(file: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_schema(file)


def _chunks(files: Sequence[Path], columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Frames of at most CHUNK_ROWS rows; small files share one, since each frame costs a fixed part of a second."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting: list[pa.RecordBatch] = []
    size = 0
    for file in files:
        with pq.ParquetFile(file) as opened:
            present = [column for column in columns if column in opened.schema_arrow.names]
            for batch in opened.iter_batches(batch_size=CHUNK_ROWS, columns=present):
                if waiting and (size + len(batch) > CHUNK_ROWS or batch.schema != waiting[0].schema):
                    yield pa.Table.from_batches(waiting).to_pandas()
                    waiting, size = [], 0
                waiting.append(batch)
                size += len(batch)
    if size:
        yield pa.Table.from_batches(waiting).to_pandas()


def _repeated(files: Sequence[Path], column: str) -> pd.DataFrame:
    """The rows whose `column` stands in more than one row of all files: normally none. Chunks cannot see these."""
    import duckdb

    listed = [str(file) for file in files]
    with duckdb.connect(config={"memory_limit": "512MB"}) as connection:
        name = '"' + column.replace('"', '""') + '"'
        return connection.execute(
            f"""
            WITH staged AS (SELECT {name} FROM read_parquet($files)),
            often AS (SELECT {name} FROM staged GROUP BY ALL HAVING count(*) > 1)
            SELECT {name} FROM staged WHERE {name} IN (FROM often)
            """,
            {"files": listed},
        ).df()
