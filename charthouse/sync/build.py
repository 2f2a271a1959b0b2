"""Build: the category rows of the people whose vault has moved on, as a pure function of that vault.

Nothing is committed here: a group's rows are staged as Parquet files, and a group may be built twice.
"""

from __future__ import annotations

import shutil
from collections import defaultdict

import orjson

from charthouse import faults, progress, runs
from charthouse.lake import records, vault
from charthouse.lake.buckets import bucket_of
from charthouse.lake.session import VAULT, attach, open_records, open_vault, quoted
from charthouse.sync import night, staging
from transforms.tables import tables


def plan_build(airflow_run_id: str) -> list[str]:
    """Who is due, in groups that each read one partition of the vault. Returns `<run_id>/<group>` names.

    A person is due when the vault holds versions that their published rows have not seen, or when the declaration of
    the tables has changed. Rows staged by an earlier, killed attempt are thrown away: the vault may have moved since.
    """
    run_id = night.run_id_of(airflow_run_id)
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
    for group, people in groups.items():
        staging.write_whole(staging.group_file(run_id, group), orjson.dumps(people))
    progress.tell("build", 0, total=sum(len(people) for people in groups.values()), unit="people")
    return [f"{run_id}/{group}" for group in sorted(groups)]


def build_group(name: str) -> str:
    """Stage the rows of one group, all ten tables. Returns the group's name."""
    run_id, group = name.split("/")
    people: dict[str, int] = orjson.loads(staging.group_file(run_id, group).read_bytes())
    types = sorted({kind for table in tables() for kind in table.resource_types})
    with runs.stage(run_id, "build", part=group) as counts, open_vault(read_only=True) as connection:
        vault.stage_current(connection, list(people), types)
        rows = 0
        for table in tables():
            file = staging.rows(run_id) / table.name / f"{group}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            count = connection.execute(
                f"COPY ({table.select_sql('resources')}) TO {quoted(str(file))} (FORMAT parquet, COMPRESSION zstd)"
            ).fetchone()
            rows += count[0] if count else 0
            faults.point("build.table")
        counts |= {"people": len(people), "rows": rows}
    staging.write_whole(staging.done_marker(run_id, group), b"")
    progress.tell("build", len(people), unit="people")
    return name
