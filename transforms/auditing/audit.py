"""The audit of the tables: a run's staged Parquet files, read in chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from transforms.auditing.judge import Verdict, judge
from transforms.auditing.suites import COLUMN_SET, UNIQUE, Rule, Severity, rules_of
from transforms.tables import Table, tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

CHUNK_ROWS = 25_000
EARLIEST = datetime(1880, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
BROKEN = ("table_name", "row_key", "rule")


@dataclass(frozen=True, slots=True)
class TableAudit:
    """What the audit of a table said.

    `held` is False only where the table may be published: no table rule failed and each rule was evaluated. `marked`
    and `withheld` count rows: those that break a rule of severity warning, and those that break one that withholds.
    `broken` are (rule, rows that break it), of row rules. `table_failures` are table rules that failed. `errors` are
    rules that could not be evaluated (CH403): a fault of the suite or of the build, not of the data.
    """

    table: str
    rows: int
    held: bool
    marked: int
    withheld: int
    broken: tuple[tuple[str, int], ...]
    table_failures: tuple[str, ...]
    errors: tuple[str, ...]


Sink = Callable[[str, str, "Collection[str]"], None]
"""Takes a table, a rule and the keys of rows that break it."""


@dataclass(slots=True)
class _Tally:
    table: str
    sink: Sink
    rows: int = 0
    marked: int = 0
    withheld: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    failures: set[str] = field(default_factory=set)
    errors: set[str] = field(default_factory=set)

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Take what was said of one frame; no row stands in two frames."""
        found: dict[Severity, set[str]] = {"warning": set(), "withhold": set()}
        for verdict in verdicts:
            rule = verdict.rule
            if verdict.error:
                self.errors.add(rule.id)
            elif rule.severity == "hold":
                if not verdict.held:
                    self.failures.add(rule.id)
            elif verdict.row_keys:
                keys = set(verdict.row_keys)
                self.broken[rule.id] += len(keys)
                found[rule.severity] |= keys
                self.sink(self.table, rule.id, sorted(keys))
        self.withheld += len(found["withhold"])
        self.marked += len(found["warning"] - found["withhold"])

    def audit(self) -> TableAudit:
        return TableAudit(
            table=self.table,
            rows=self.rows,
            held=bool(self.failures or self.errors),
            marked=self.marked,
            withheld=self.withheld,
            broken=tuple(sorted(self.broken.items())),
            table_failures=tuple(sorted(self.failures)),
            errors=tuple(sorted(self.errors)),
        )


def audit_staged(folder: Path, broken: Path) -> list[TableAudit]:
    """Audit every table of a run, from `folder/<table>/*.parquet`. A table without files has no rows and passes.

    Args:
        broken: a Parquet file of `BROKEN` that is written: the rows that break a row rule, a line a rule.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    now = datetime.now(UTC)
    schema = pa.schema([(name, pa.string()) for name in BROKEN])
    with pq.ParquetWriter(broken, schema) as writer:

        def sink(table: str, rule: str, keys: Collection[str]) -> None:
            values = [[table] * len(keys), list(keys), [rule] * len(keys)]
            writer.write_table(pa.Table.from_arrays([pa.array(each, pa.string()) for each in values], schema=schema))

        return [_audit_files(each, sorted((folder / each.name).glob("*.parquet")), now, sink) for each in tables()]


def _audit_files(audited: Table, files: Sequence[Path], now: datetime, sink: Sink) -> TableAudit:
    tally = _Tally(audited.name, sink)
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
    return tally.audit()


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
        "latest": now + 2 * YEAR,
        "farthest": now + 100 * YEAR,
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
