"""Duplicates through nights: two providers of one person, a row that the audit keeps out, a link that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from charthouse.lake import records
from charthouse.lake.session import RECORDS, open_records, writing
from charthouse.linking import links
from charthouse.linking.removal import ask_removal
from charthouse.state import session
from charthouse.sync import night, staging
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.finish import finish_run
from charthouse.sync.publish import publish_run
from charthouse.sync.removal import remove_from_records, remove_from_vault
from charthouse.sync.store import store_batch
from tests.sync.test_removal import second_link

if TYPE_CHECKING:
    from tests.sync.conftest import House

STANDING = "SELECT row_key, duplicate_group, rank, is_best, group_rows, better_by FROM records.duplicates ORDER BY ALL"
BEST = "FROM lab_results_best"


def asked(query: str) -> list[tuple[Any, ...]]:
    with open_records(read_only=True) as connection:
        connection.execute("USE records")
        return connection.execute(query).fetchall()


def test_groups_follow_what_stands_in_the_tables(house: House) -> None:
    gone, stays = second_link(house)
    for name in house.plan():
        store_batch(check_batch(collect_batch(name)))
    house.build()
    # The audit keeps a row out, as if it had found something wrong with it.
    run = f"night-{house.nights}"
    broken = staging.broken_file(night.run_id_of(run))
    row = f"{gone}/Observation/o1/0"
    said = {"table_name": ["lab_results"], "row_key": [row], "rule": ["a-rule-of-tomorrow"]}
    pq.write_table(pa.concat_tables([pq.read_table(broken), pa.table(said).cast(pq.read_schema(broken))]), broken)
    publish_run(run)
    finish_run(run)
    held = {key for (key,) in asked("SELECT row_key FROM lab_results")}
    assert row not in held
    first = asked(STANDING)
    assert {each[0] for each in first} == held - {row.replace(gone, stays)}, "its duplicate is in no group, too"
    assert asked(f"SELECT count(*) {BEST} WHERE row_key = '{row.replace(gone, stays)}'") == [(1,)]

    # Built anew, it is there: the other groups have the names that they had.
    with writing(RECORDS), open_records() as connection:
        records.forget_built(connection)
    house.night()
    found = asked(STANDING)
    rows = asked("SELECT count(*) FROM lab_results")[0][0]
    assert len(found) == rows == len(held) + 1
    assert set(first) < set(found)
    assert asked(f"SELECT count(*), sum(group_rows) {BEST}") == [(rows // 2, rows)]

    with session() as state:
        links.transition(state, gone, "disconnected", "minor_found", "sync")
        ask_removal(state, gone, "minor_found")
    remove_from_vault()
    remove_from_records()
    assert asked(STANDING) == []
    assert asked(f"SELECT DISTINCT link_id, group_rows {BEST}") == [(stays, 1)]
