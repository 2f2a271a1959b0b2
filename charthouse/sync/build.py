"""Build: the category rows of the people whose vault has moved on, as a pure function of that vault.

Nothing is committed here: a group's rows are staged as Parquet files, and a group may be built twice.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import orjson

from charthouse import faults, progress
from charthouse.files import write_whole
from charthouse.lake import records, vault
from charthouse.lake.buckets import bucket_of
from charthouse.lake.session import VAULT, attach, more_memory, open_records, open_vault, quoted
from charthouse.settings import get_settings
from charthouse.sync import footing, holding, night, origins, runs, staging, unserved
from charthouse.sync.mending import mend_staged
from transforms.duplicates import find
from transforms.tables import (
    EVERYTHING,
    all_tables,
    helpers,
    observations,
    other_tables,
    prepare_resources,
    read_presence,
    resource_types,
    stage_inner,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from transforms.tables import Table

VECTORS = 700_000_000
"""What DuckDB books at most for the query of one table before it reads a row: a vector of 2,048 values for each step of
each column that resources have. Little of it is ever touched (25 MB stay resident), but the limit counts it all."""


def plan_build(airflow_run_id: str, whom: Collection[str] | None = None) -> list[str]:
    """Who is due, in groups that each read a few partitions of the vault. Returns `<run_id>/<group>` names.

    A person is due when the vault holds versions that their published rows have not seen, when the declaration of the
    tables has changed, or what of theirs is served no longer. Rows staged by an earlier, killed attempt are thrown
    away: the vault may have moved since.

    Args:
        airflow_run_id: the run, by Airflow's id of it.
        whom: build these people, due or not, and nobody else.

    Raises:
        LakeError: CH504 when the vault lacks what has been read: older rows must not replace newer ones.
    """
    run_id = night.run_id_of(airflow_run_id)
    shutil.rmtree(staging.folder(run_id), ignore_errors=True)
    with open_records() as connection:
        records.create(connection)
        built = records.built(connection)
        attach(connection, VAULT, read_only=True)
        footing.require(connection)
        heads = vault.heads(connection)
    if whom is None:
        marks = unserved.digests()
        due = {
            person: head
            for person, head in heads.items()
            if built.get(person) != (head.stored_seq, records.built_from_of(person, marks))
        }
    else:
        due = {person: heads[person] for person in whom if person in heads}
    names = []
    for number, people in enumerate(_cut(due), start=1):
        names.append(f"{run_id}/group-{number:04d}")
        write_whole(staging.group_file(run_id, f"group-{number:04d}"), orjson.dumps(people))
    progress.tell("build", 0, total=len(due), unit="people")
    return names


def _cut(due: Mapping[str, vault.Head]) -> Iterator[dict[str, int]]:
    """Groups of about `build_group_resources` versions, in the order of the vault's partitions.

    A group reads the partitions of its own people only. Opening the vault and planning the tables' queries takes more
    than a second whatever they read, so groups are not cut smaller than they need to be.
    """
    most = get_settings().build_group_resources
    group: dict[str, int] = {}
    size = 0
    for person in sorted(due, key=lambda key: (bucket_of(key, vault.BUCKETS), key)):
        if group and size + due[person].versions > most:
            yield group
            group, size = {}, 0
        group[person] = due[person].stored_seq
        size += due[person].versions
    if group:
        yield group


def build_group(name: str) -> str:
    """Stage the rows of one group, all tables. Returns the group's name."""
    run_id, group = name.split("/")
    with (
        holding.group(name),
        runs.stage(run_id, "build", part=group) as counts,
        open_vault(read_only=True) as connection,
    ):
        people: dict[str, int] = orjson.loads(staging.group_file(run_id, group).read_bytes())
        vault.stage_current(connection, list(people), resource_types())
        links, mended = origins.stage_origins(connection, list(people)), mend_staged(connection)
        stage_inner(connection, "staged")
        with ThreadPoolExecutor(1) as beside, connection.cursor() as cursor:
            reading = beside.submit(read_presence, cursor, EVERYTHING)
            for statement in prepare_resources("staged", links=links, mended=mended, others="others"):
                connection.execute(statement)
            present = reading.result()
        marks = unserved.stage_unserved(connection, list(people))

        def stage_observations() -> None:
            with connection.cursor() as cursor:
                for statement in observations(present):
                    cursor.execute(statement)

        def copied(name: str, select: str) -> int:
            file = staging.rows_file(run_id, name, group)
            file.parent.mkdir(parents=True, exist_ok=True)
            copy = f"COPY ({select}) TO {quoted(str(file))} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
            with connection.cursor() as cursor:
                count = cursor.execute(copy).fetchone()
            return int(count[0]) if count else 0

        def stage(table: Table) -> int:
            with connection.cursor() as cursor:
                there = cursor.execute(table.has_rows_sql()).fetchone() == (True,)
            select = table.select_sql(present) if there else ""
            count = copied(table.name, unserved.marked(select, table) if marks else select) if there else 0
            faults.point("build.table")
            return count

        # DuckDB gives a thread to every 122,880 rows, which a group seldom has: the tables run side by side instead.
        threads = get_settings().duckdb_threads
        with more_memory(connection, threads * VECTORS), ThreadPoolExecutor(threads) as pool:
            declared = (*all_tables(), *other_tables())
            observed = pool.submit(stage_observations)
            rows = sum(pool.map(stage, [each for each in declared if not each.of_observations]))
            observed.result()
            rows += sum(pool.map(stage, [each for each in declared if each.of_observations]))
            files = {each.name: staging.rows_file(run_id, each.name, group) for each in declared}
            staged = {name: f"read_parquet({quoted(str(file))})" for name, file in files.items() if file.exists()}
            with connection.cursor() as cursor:
                find(cursor, staged)
            list(pool.map(lambda helper: copied(helper.name, helper.select_sql(staged)), helpers()))
            counts |= {"people": len(people), "rows": rows}
        write_whole(staging.marks_file(run_id, group), orjson.dumps(marks))
        write_whole(staging.done_marker(run_id, group), b"")
    progress.tell("build", len(people), unit="people")
    return name
