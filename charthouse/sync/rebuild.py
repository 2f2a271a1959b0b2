"""Rebuild: people's rows made anew from the vault, by the mapping of today. No provider is asked."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charthouse.errors import StateError
from charthouse.lake import records, vault
from charthouse.lake.session import open_records, open_vault
from charthouse.state import audit, session
from charthouse.sync import holding, runs
from charthouse.sync.audit import audit_run
from charthouse.sync.build import build_group, plan_build
from charthouse.sync.finish import finish_run
from charthouse.sync.publish import publish_run
from transforms.tables import MAPPING_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

SCOPE = "rebuild"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did: `people` were built anew, of whom `outdated` had rows of another mapping, or none."""

    run_id: str
    people: int
    outdated: int
    mapping_version: str


def rebuild(people: Sequence[str] = ()) -> Rebuilt:
    """Build, audit and publish the rows of these people (of everybody, where none are named) from the vault.

    It is a run of its own in the ledger. Killed half-way nothing is published, and the next one takes it up.

    Raises:
        StateError: CH602 for a person who is not there.
        LakeError: CH504 when the vault lacks what has been read, CH503 when nothing could be published.
        AuditError: CH402 when the audit holds what was built, CH403 when it broke.
    """
    unknown = set(people) - holding.people_among(people)
    if unknown:
        raise StateError("CH602", where=f"person {min(unknown)}")
    with open_vault(read_only=True) as connection:
        heads = vault.heads(connection)
    with open_records() as connection:
        records.create(connection)
        built = records.built(connection)
    whom = sorted(set(people or heads) & heads.keys())
    today = records.declaration()
    outdated = sum(built.get(person, (0, ""))[1].partition("+")[0] != today for person in whom)
    name = f"{SCOPE}-{secrets.token_hex(4)}"
    with session() as state:
        run_id = runs.open_or_resume_run(state, SCOPE, name).id
    for group in plan_build(name, whom):
        build_group(group)
    audit_run(name)
    publish_run(name)
    finish_run(name)
    with session() as state:
        audit.record(state, "operator", "rebuild", "records", "records", {"people": len(whom)})
    return Rebuilt(run_id, len(whom), outdated, MAPPING_VERSION)
