"""A home stocked by hand: resources of your choice in the vault, and the tables built from them as a night does."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from charthouse.lake import records, vault
from charthouse.lake.session import open_records, open_vault, quoted
from charthouse.linking import links, people, providers
from charthouse.state import session
from charthouse.sync.build import VECTORS
from charthouse.sync.origins import stage_origins
from transforms.duplicates import find
from transforms.tables import Helper, built_tables, helpers, prepare, resource_types, stage_inner, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_KEYS = ("person_key", "link_id", "resource_type", "resource_id", "content_hash")
_CHECKED = pa.schema(
    [
        (name, pa.string())
        for name in ("person_key", "link_id", "resource_type", "resource_id", "content_hash", "last_updated")
    ]
    + [("remarks", pa.list_(pa.string())), ("resource", pa.string())]
)
_QUARANTINED = pa.schema(
    [(name, pa.string()) for name in _KEYS] + [("rules", pa.list_(pa.string())), ("resource", pa.binary())]
)


def new_person(provider: str = "clinic", *, patient: str = "p1") -> tuple[str, str]:
    """A person with a confirmed link: (person, link)."""
    with session() as state:
        providers.register_provider(
            state, slug=provider, name=f"{provider.title()} Clinic", fhir_base_url="http://127.0.0.1:9/fhir"
        )
        person = people.create_person(state).person_key
        link = links.start_link(state, person, provider, "direct", patient_id=patient).id
    return person, link


def store(
    folder: Path,
    person: str,
    link: str,
    texts: Iterable[str],
    stopped: Sequence[tuple[bytes, Sequence[str]]] = (),
    remarks: Sequence[str] = (),
) -> None:
    """Put resources into the vault, as received, and the others into quarantine with their rules."""
    folder.mkdir(parents=True, exist_ok=True)
    checked, quarantined = folder / "checked.parquet", folder / "quarantined.parquet"
    with pq.ParquetWriter(checked, _CHECKED) as writer:
        some: list[tuple[Any, ...]] = []
        for text in texts:
            said = json.loads(text)
            updated = said.get("meta", {}).get("lastUpdated")
            digest = sha256(text.encode()).hexdigest()
            some.append((person, link, said["resourceType"], said["id"], digest, updated, list(remarks), text))
            if len(some) == 2000:
                writer.write_table(_table(_CHECKED, some))
                some = []
        if some:
            writer.write_table(_table(_CHECKED, some))
    kept = [(person, link, None, None, sha256(text).hexdigest(), list(rules), text) for text, rules in stopped]
    pq.write_table(_table(_QUARANTINED, kept), quarantined)
    with open_vault() as connection:
        vault.append(connection, checked, quarantined, "run-of-the-test")


def publish(folder: Path, *persons: str) -> None:
    """Build the tables of these people, and publish them."""
    withheld = folder / "broken.parquet"
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in ("table_name", "row_key", "rule")}), withheld)
    with open_vault(read_only=True) as connection:
        connection.execute(f"SET memory_limit = '{2 * VECTORS}B'")
        vault.stage_current(connection, list(persons), resource_types())
        stage_inner(connection, "staged")
        for statement in prepare("staged", links=stage_origins(connection, persons), others="others"):
            connection.execute(statement)
        heads = {person: head.stored_seq for person, head in vault.heads(connection).items() if person in persons}
        files = {table.name: folder / "rows" / table.name / "all.parquet" for table in built_tables()}
        staged = {name: f"read_parquet({quoted(str(file))})" for name, file in files.items()}
        for table in built_tables():
            if table == helpers()[0]:
                find(connection, {each.name: staged[each.name] for each in tables()})
            select = table.select_sql(staged) if isinstance(table, Helper) else table.select_sql()
            files[table.name].parent.mkdir(parents=True, exist_ok=True)
            connection.execute(f"COPY ({select}) TO {quoted(str(files[table.name]))} (FORMAT parquet)")
    with open_records() as connection:
        records.publish(connection, folder / "rows", withheld, heads)


def _table(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in schema]
    return pa.table([pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)], schema)
