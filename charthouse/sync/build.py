"""Build: the category rows of the people whose vault has moved on, as a pure function of that vault.

Nothing is committed here: a group's rows are staged as Parquet files, and a group may be built twice.
"""

from __future__ import annotations

import shutil
from collections import defaultdict

import orjson

from charthouse import faults, progress
from charthouse.lake import records, vault
from charthouse.lake.buckets import bucket_of
from charthouse.lake.session import VAULT, attach, open_records, open_vault, quoted
from charthouse.sync import staging
from transforms.tables import tables

GROUP = "{run_id}/{group}"


def plan_build(run_id: str) -> list[str]:
    """Who is due, in groups that each read one partition of the vault. Returns `<run_id>/<group>` names.

    A person is due when the vault holds versions that their published rows have not seen, or when the declaration of
    the tables has changed. Rows staged by an earlier, killed attempt are thrown away: the vault may have moved since.
    """
    shutil.rmtree(staging.folder(run_id), ignore_errors=True)
    with open_records() as connection:
        records.create(connection)
        built = records.built(connection)
        attach(connection, VAULT, read_only=True)
        heads = vault.heads(connection)
    fingerprint = records.declaration()
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for person, head in heads.items():
        if built.get(person) != (head, fingerprint):
            groups[f"bucket-{bucket_of(person, vault.BUCKETS):02d}"][person] = head
    for group, people in sorted(groups.items()):
        staging.write_whole(staging.group_file(run_id, group), orjson.dumps(people))
    progress.tell("build", 0, total=sum(len(people) for people in groups.values()), unit="people")
    return [GROUP.format(run_id=run_id, group=group) for group in sorted(groups)]


def build_group(name: str) -> int:
    """Stage the rows of one group, all ten tables. Returns how many rows there are."""
    run_id, group = name.split("/")
    people: dict[str, int] = orjson.loads(staging.group_file(run_id, group).read_bytes())
    types = sorted({kind for table in tables() for kind in table.resource_types})
    total = 0
    with open_vault(read_only=True) as connection:
        vault.stage_current(connection, list(people), types)
        for table in tables():
            file = staging.rows(run_id) / table.name / f"{group}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            count = connection.execute(
                f"COPY ({table.select_sql('resources')}) TO {quoted(str(file))} (FORMAT parquet, COMPRESSION zstd)"
            ).fetchone()
            total += count[0] if count else 0
            faults.point("build.table")
    staging.write_whole(staging.done_marker(run_id, group), b"")
    progress.tell("build", len(people), unit="people")
    return total
