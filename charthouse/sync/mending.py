"""Mending: staged resources that do not have the shape of R4, read as it. The vault keeps their texts as received."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from transforms.checking.mending import FLAWS, mended

if TYPE_CHECKING:
    import duckdb

RELATION = "mended"
_AT_ONCE = 500


def mend_staged(connection: duckdb.DuckDBPyConnection) -> str:
    """Mend what is `staged`, where the check remarked that it may need it. Returns the relation of what was mended.

    What was checked before mending knew of a flaw has no remark of it: a rebuild does not look at its text again.
    """
    flaws = ", ".join(f"'{each}'" for each in sorted(FLAWS))
    connection.execute(
        f"CREATE OR REPLACE TABLE {RELATION}"
        " (link_id VARCHAR, resource_type VARCHAR, resource_id VARCHAR, resource VARCHAR)"
    )
    with connection.cursor() as cursor:
        flawed = cursor.execute(
            "SELECT link_id, resource_type, resource_id, resource FROM staged"
            f" WHERE list_has_any(list_transform(remarks, lambda remark: left(remark, 5)), [{flaws}])"
        )
        while some := flawed.fetchmany(_AT_ONCE):
            changed = [(*key, text) for *key, sent in some for text in (mended(sent),) if text != sent]
            if changed:
                columns = [pa.array(column, pa.string()) for column in zip(*changed, strict=True)]
                made = pa.table(columns, names=["link_id", "resource_type", "resource_id", "resource"])
                connection.register("just_mended", made)
                connection.execute(f"INSERT INTO {RELATION} FROM just_mended")
                connection.unregister("just_mended")
    connection.execute(
        f"UPDATE staged SET resource = {RELATION}.resource FROM {RELATION} WHERE staged.link_id = {RELATION}.link_id"
        f" AND staged.resource_type = {RELATION}.resource_type AND staged.resource_id = {RELATION}.resource_id"
    )
    return RELATION
