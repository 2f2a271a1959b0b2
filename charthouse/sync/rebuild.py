"""Rebuild: the tables anew from the vault alone. No provider is asked.

It is the second half of a night (build, audit, publish, finish) in a run of its own scope, so it is resumed like one
and stands in the ledger. A night does the same by itself for everyone whose rows another mapping made.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import select

from charthouse.lake import records
from charthouse.lake.session import RECORDS, open_records, writing
from charthouse.state import session
from charthouse.state.ledger import TableTally
from charthouse.sync import build, footing, runs, staging
from charthouse.sync.audit import audit_run
from charthouse.sync.finish import finish_run
from charthouse.sync.publish import publish_run
from transforms.tables import MAPPING_VERSION

SCOPE = "rebuild"


@dataclass(frozen=True, slots=True)
class RebuiltTable:
    """A table after a rebuild: its rows, how many of them were written, how many the audit withheld."""

    table: str
    rows: int
    rewritten: int
    withheld: int


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did: the run in the ledger, the mapping, the people built anew, and each table."""

    run_id: str
    mapping_version: str
    people: int
    tables: tuple[RebuiltTable, ...]


def rebuild(*, everyone: bool = False) -> Rebuilt:
    """Build anew, from the vault, the rows of the people who are due.

    Args:
        everyone: also those whose rows are of the present mapping and have seen all of the vault.

    Raises:
        LakeError: CH504 when the vault lacks what has been read.
        AuditError: CH402 when the audit holds the batch: the tables stay as they were.
    """
    footing.check()
    airflow_run_id = f"{SCOPE}-{uuid4()}"
    with session() as state:
        run_id = runs.open_or_resume_run(state, SCOPE, airflow_run_id).id
        runs.plan_links(state, run_id, [])
    if everyone:
        with writing(RECORDS), open_records() as connection:
            records.create(connection)
            records.forget_built(connection)
    for group in build.plan_build(airflow_run_id):
        build.build_group(group)
    audit_run(airflow_run_id)
    people = len(staging.people_of(run_id))
    publish_run(airflow_run_id)
    finish_run(airflow_run_id)
    return Rebuilt(run_id, MAPPING_VERSION, people, _tables(run_id))


def _tables(run_id: str) -> tuple[RebuiltTable, ...]:
    query = select(TableTally).where(TableTally.run_id == run_id).order_by(TableTally.table_name)
    with session(read_only=True) as state:
        return tuple(
            RebuiltTable(each.table_name, each.rows, each.rows_changed, each.held_rows) for each in state.scalars(query)
        )
