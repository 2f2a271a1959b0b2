"""Store: what a batch brought goes into the vault, and its account into the ledger.

In this order: vault, ledger, marker; then the landed files go. Killed between any two, the batch is stored again: the
vault knows contents by their hash, and every line of the ledger is replaced, not added.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import orjson

from charthouse import faults, progress
from charthouse.files import write_whole
from charthouse.lake import vault
from charthouse.lake.session import VAULT, open_vault, quoted, writing
from charthouse.linking import links, states
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.sync import (
    batches,
    documents,
    footing,
    holding,
    landing,
    phone,
    runs,
    strays,
    type_outcomes,
    vanished,
)
from charthouse.sync import gone as gone_resources

if TYPE_CHECKING:
    import duckdb

    from charthouse.linking.links import LinkWork
    from charthouse.state.bulk import GoneReason
    from charthouse.sync.batches import Batch
    from charthouse.sync.landing import Manifest

AUTHORIZATION_ENDED = frozenset({"CH102", "CH113"})
"""Outcomes of a link that only the person can mend, by signing in again."""


def store_batch(name: str) -> str:
    """Append what is new to the vault and note the batch in the ledger. Returns the batch's name.

    Raises:
        LakeError: CH504 when it is no longer the vault that holds what these links have read before.
    """
    batch = batches.read(name)
    if batch.stored:
        return name
    with holding.batch(name), runs.stage(batch.run_id, "store", part=batch.folder.name) as counts:
        with writing(VAULT), open_vault() as connection:
            vault.create(connection)
            footing.require(connection, batch.link_ids)
            gone = holding.gone_among(batch.link_ids)  # under the hold in which it commits: nobody goes meanwhile
            stored = vault.append(
                connection,
                batch.checked,
                batch.quarantined,
                batch.run_id,
                gone=sorted(gone),
                left_out=strays.of_the_gone(batch.quarantined, batches.links_of(batch)),
            )
            faults.point("store.appended")
            deposit = vault.newest_deposit(connection)
            tallies = _tallies(connection, batch)
            served = gone_resources.served_again(connection, batch)
            staying = [link_id for link_id in batch.link_ids if link_id not in gone]
            manifests = {link_id: landing.read_manifest(batch.folder / link_id) for link_id in staying}
            stopped = vault.stopped_before(connection, batch.link_ids, batch.run_id)
            silent = vanished.found(connection, batch, batches.links_of(batch), manifests)
        _account(batch, manifests, tallies, deposit, served, silent, stopped)
        faults.point("store.accounted")
        if batch.phone:
            phone.settle(batch)
        write_whole(batch.stored_marker, orjson.dumps({"new": stored.new, "unchanged": stored.unchanged}))
        batches.remove_landed(batch)
        counts |= {"new": stored.new, "unchanged": stored.unchanged, "quarantined": stored.quarantined}
    progress.tell("store", stored.new, unit="new versions")
    return name


def _tallies(connection: duckdb.DuckDBPyConnection, batch: Batch) -> list[runs.Tally]:
    """Each link's resources by type. New are the versions of this run in the vault, so a second try counts the same."""
    accepted, refused = (f"read_parquet({quoted(str(file))})" for file in (batch.checked, batch.quarantined))
    rows = connection.execute(
        f"""
        WITH verdicts AS (
            SELECT link_id, resource_type, resource_id, content_hash, len(remarks) > 0 AS remarked, true AS accepted
            FROM {accepted} WHERE link_id NOT IN (FROM gone_links)
            UNION ALL
            SELECT link_id, coalesce(resource_type, ''), resource_id, content_hash, false, false
            FROM {refused} WHERE link_id NOT IN (FROM gone_links)
        ), appended AS (
            SELECT link_id, resource_type, resource_id, content_hash FROM vault.resources
            WHERE run_id = ? AND person_key IN (SELECT DISTINCT person_key FROM {accepted})
        )
        SELECT link_id, resource_type, count(*), count(*) FILTER (accepted), count(*) FILTER (remarked),
               count(*) FILTER (NOT accepted), count(appended.content_hash)
        FROM verdicts LEFT JOIN appended USING (link_id, resource_type, resource_id, content_hash)
        GROUP BY ALL
        """,
        [batch.run_id],
    ).fetchall()
    return [
        runs.Tally(
            link_id=link_id,
            resource_type=kind or "(none)",
            fetched=fetched,
            accepted=accepted_count,
            with_remarks=remarked,
            quarantined=quarantined,
            unchanged=accepted_count - new,
            new_versions=new,
        )
        for link_id, kind, fetched, accepted_count, remarked, quarantined, new in rows
    ]


def _account(
    batch: Batch,
    manifests: dict[str, Manifest | None],
    tallies: list[runs.Tally],
    deposit: str,
    served: set[gone_resources.Key],
    silent: dict[gone_resources.Key, GoneReason],
    stopped: set[tuple[str, str]],
) -> None:
    """Write the batch into the ledger and move its links on, in one transaction; those that are gone are left out."""
    outcomes: list[runs.Outcome] = []
    with session() as state:
        standing = {link.link_id: link for link in links.work_of(state, batch.link_ids)}
        manifests = {link_id: manifest for link_id, manifest in manifests.items() if link_id in standing}
        tallies = [tally for tally in tallies if tally.link_id in standing]
        known = {(tally.link_id, tally.resource_type): tally for tally in tallies}
        for link_id, manifest in manifests.items():
            if manifest is None:
                outcomes.append(runs.Outcome("CH117", "link", link_id))
                continue
            for kind, outcome in type_outcomes.by_type(manifest).items():
                tally = known.get((link_id, kind), runs.Tally(link_id, kind))
                known[link_id, kind] = replace(tally, **msgspec.structs.asdict(outcome))
            for kind, reason in manifest.not_requested.items():
                known.setdefault((link_id, kind), runs.Tally(link_id, kind, not_requested=reason))
            outcomes.extend(
                runs.Outcome(said.code, said.unit, link_id, said.resource_type, said.label or "", said.count)
                for said in manifest.outcomes
            )
            documents.note(state, link_id, batch.folder / link_id, get_settings().whole_days)
            owed = _owed(standing[link_id], manifest, whole=link_id in batch.whole)
            links.set_watermarks(state, link_id, manifest.watermarks, deposit=deposit, owed=owed)
        # A link whose person took it away says nothing any more, whatever was still on its way.
        speaking = [link_id for link_id in manifests if standing[link_id].status in states.DUE]
        silent = {key: reason for key, reason in silent.items() if key[0] in speaking}
        gone_resources.note(
            state,
            batch.run_id,
            silent | gone_resources.told(batch, list(standing)),
            {key for key in served if key[0] in standing},
        )
        for (link_id, kind), count in gone_resources.since_run(state, batch.run_id, list(standing)).items():
            known[link_id, kind] = replace(known.get((link_id, kind), runs.Tally(link_id, kind)), vanished=count)
        returned = Counter((key[0], key[1]) for key in served if key[0] in standing)
        returned |= Counter(runs.returned_before(state, batch.run_id, standing))
        for (link_id, kind), count in returned.items():
            known[link_id, kind] = replace(known.get((link_id, kind), runs.Tally(link_id, kind)), returned=count)
        links.note_read_whole(state, [link_id for link_id in speaking if _was_read_whole(batch, manifests[link_id])])
        outcomes.extend(said for said in _quarantine_outcomes(batch, manifests, stopped) if said.link_id in standing)
        results = {link_id: manifest.status if manifest else "failed" for link_id, manifest in manifests.items()}
        runs.record_tallies(state, batch.run_id, known.values())
        runs.record_outcomes(state, batch.run_id, batch.folder.name, outcomes)
        runs.record_link_results(state, batch.run_id, results)
        links.set_sync_statuses(
            state,
            {link_id: result for link_id, result in results.items() if standing[link_id].sync_status == "running"},
        )
        for link_id, manifest in manifests.items():
            codes = {said.code for said in manifest.outcomes if said.unit == "link"} if manifest else set()
            if standing[link_id].status not in states.DUE:
                continue
            if codes & AUTHORIZATION_ENDED:
                links.transition(state, link_id, "expired", "authorization_ended", "sync")
            elif manifest is not None and _patient_is_closed(manifest):
                links.transition(state, link_id, "failed", "patient_not_readable", "sync")


def _was_read_whole(batch: Batch, manifest: Manifest | None) -> bool:
    """Whether a link was asked for everything, and something came."""
    if manifest is None or manifest.status == "failed":
        return False
    asked = [query.mode for query in manifest.queries if not landing.is_reference(query)]
    return manifest.link_id in batch.whole or "incremental" not in asked


def _owed(link: LinkWork, manifest: Manifest, *, whole: bool) -> set[str]:
    """Labels of which everything was asked for, although what is new could be, and did not come."""
    return {
        query.label
        for query in manifest.queries
        if (whole or query.label in link.owed) and query.mode == "full" and query.status != "complete"
    }


def _patient_is_closed(manifest: Manifest) -> bool:
    """Whether the grant lives, and opens nothing any more, the Patient included (403, or no scope for it).

    A portal lets people narrow a grant without ending it: signing in anew with the box ticked helps, and nothing else.
    A link that still brings something is kept: whose records they are has been looked at before.
    """
    if manifest.resources or any(said.unit == "link" for said in manifest.outcomes):
        return False
    asked = [query.status for query in manifest.queries if query.type == "Patient"]
    return manifest.not_requested.get("Patient") == "not_permitted" or (
        bool(asked) and all(status == "not_permitted" for status in asked)
    )


def _quarantine_outcomes(
    batch: Batch, manifests: dict[str, Manifest | None], stopped: set[tuple[str, str]]
) -> list[runs.Outcome]:
    """Each rule that stopped resources, by link and type.

    Who asks for what is new gets a little of what was there before; what was stopped then is nothing that went wrong
    tonight.
    """
    new_alone = {
        (link_id, query.type)
        for link_id, manifest in manifests.items()
        for query in (manifest.queries if manifest is not None else ())
        if query.mode == "incremental"
    }
    import pyarrow.parquet as pq

    found: Counter[tuple[str, str | None, str]] = Counter()
    columns = pq.read_table(batch.quarantined, columns=["link_id", "resource_type", "content_hash", "rules"])
    for row in columns.to_pylist():
        again = (row["link_id"], row["content_hash"]) in stopped
        if again and (row["link_id"], row["resource_type"]) in new_alone:
            continue
        for rule in row["rules"]:
            found[row["link_id"], row["resource_type"], rule] += 1
    return [
        runs.Outcome(rule, "resource", link_id, kind, count=count) for (link_id, kind, rule), count in found.items()
    ]
