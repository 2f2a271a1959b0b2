"""Check: a verdict for every landed resource, written as two Parquet files that the store reads."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import astuple

from charthouse import faults, progress
from charthouse.files import put, scratch_of
from charthouse.sync import batches, holding, landing, phone, runs
from transforms.checking import Checker, Owner
from transforms.checking.batches import CHECKED_SCHEMA, QUARANTINED_SCHEMA, CheckedRow, QuarantinedRow, check_pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


ROW_GROUP = 2_000
ROW_GROUP_BYTES = 8_000_000


class RowWriter:
    """Rows to one Parquet file, a row group at a time; the file gets its name once it is whole."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._file = file
        self._scratch = scratch_of(file)
        self._schema = schema
        self._writer = pq.ParquetWriter(self._scratch, schema, compression="zstd", compression_level=1)
        self._rows: list[CheckedRow | QuarantinedRow] = []
        self._size = 0

    def write(self, row: CheckedRow | QuarantinedRow) -> None:
        """Add one row: a struct whose fields are the schema's columns, in their order."""
        self._rows.append(row)
        self._size += len(row.resource)
        if len(self._rows) >= ROW_GROUP or self._size >= ROW_GROUP_BYTES:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what is left; the file gets its name only if all went well."""
        if kind is None:
            self._flush()
        self._writer.close()
        if kind is None:
            put(self._scratch, self._file)

    def _flush(self) -> None:
        if self._rows:
            values = zip(*map(astuple, self._rows), strict=True)
            columns = [pa.array(column, field.type) for column, field in zip(values, self._schema, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
            self._rows.clear()
            self._size = 0


def check_batch(name: str) -> str:
    """Check everything that the batch has landed. Returns the batch's name.

    Writes `checked.parquet` and `quarantined.parquet` beside the landed links; run again, it writes them again.
    """
    batch = batches.read(name)
    if batch.stored:
        return name
    checker = _checker()
    of_phone = phone.owners(batch.link_ids) if batch.phone else {}
    with (
        holding.batch(name),
        _no_collections(),
        runs.stage(batch.run_id, "check", part=batch.folder.name) as counts,
        RowWriter(batch.checked, CHECKED_SCHEMA) as accepted,
        RowWriter(batch.quarantined, QUARANTINED_SCHEMA) as refused,
    ):
        for link in batches.links_of(batch):
            folder = batch.folder / link.link_id
            if landing.read_manifest(folder) is None:
                continue
            owner = of_phone.get(link.link_id) or Owner(patient_id=link.patient_id, base_url=link.fhir_base_url)
            pages = (page for file in landing.page_files(folder) for page in landing.read_pages(file))
            checked = 0
            for row in check_pages(pages, owner, person_key=link.person_key, link_id=link.link_id, checker=checker):
                (accepted if isinstance(row, CheckedRow) else refused).write(row)
                checked += 1
            faults.point("check.link")
            progress.tell("check", checked, unit="resources")
            counts["resources"] = counts.get("resources", 0) + checked
    return name


@cache
def _checker() -> Checker:
    # Compiling the schemas of thirty types takes half a second, and a process may check many batches.
    return Checker()


@contextmanager
def _no_collections() -> Iterator[None]:
    # Parsing makes millions of objects and no cycles, and each full collection would walk all of Airflow's heap.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
