"""The files of one run between the vault and the records: who is rebuilt, their rows, and what the audit said.

```
home/staging/<run_id>/
    groups/<group>.json       the people of a group and the vault sequence each is built from
    rows/<table>/<group>.parquet
    marks/<group>.json        who of the group has rows that are served no longer, and a hash of which
    groups/<group>.done       the marker: the group's rows are all there
    audit.json                the marker of the audit: held tables, counts
    broken.parquet            table_name, row_key, rule
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from charthouse.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path


def folder(run_id: str) -> Path:
    """The staging folder of a run."""
    return get_settings().staging / run_id


def rows(run_id: str) -> Path:
    """Where the staged rows of a run stand, a folder a table."""
    return folder(run_id) / "rows"


def rows_file(run_id: str, table: str, group: str) -> Path:
    """The staged rows of one table and group."""
    return rows(run_id) / table / f"{group}.parquet"


def group_file(run_id: str, group: str) -> Path:
    """The file that lists the people of a group."""
    return folder(run_id) / "groups" / f"{group}.json"


def done_marker(run_id: str, group: str) -> Path:
    """The marker that a group's rows are all there."""
    return folder(run_id) / "groups" / f"{group}.done"


def marks_file(run_id: str, group: str) -> Path:
    """Of the people of a group, the marks that their rows bear (`charthouse.sync.unserved`)."""
    return folder(run_id) / "marks" / f"{group}.json"


def marks_of(run_id: str) -> dict[str, str]:
    """The marks of everyone who is staged."""
    everyone: dict[str, str] = {}
    for file in sorted((folder(run_id) / "marks").glob("*.json")):
        everyone |= orjson.loads(file.read_bytes())
    return everyone


def audit_file(run_id: str) -> Path:
    """What the audit of a run said."""
    return folder(run_id) / "audit.json"


def broken_file(run_id: str) -> Path:
    """The rows that break a rule of the audit: marked in their table, or kept out of it."""
    return folder(run_id) / "broken.parquet"


def people_of(run_id: str) -> dict[str, int]:
    """Everyone whose rows are staged whole, with the vault sequence they were built from."""
    everyone: dict[str, int] = {}
    for file in sorted((folder(run_id) / "groups").glob("*.json")):
        if done_marker(run_id, file.stem).exists():
            everyone |= orjson.loads(file.read_bytes())
    return everyone


def drop_unfinished(run_id: str) -> int:
    """Remove the rows of groups that were not built to the end. Returns how many people that leaves as they were."""
    left = 0
    for file in (folder(run_id) / "groups").glob("*.json"):
        if not done_marker(run_id, file.stem).exists():
            left += len(orjson.loads(file.read_bytes()))
            for rows_file in rows(run_id).glob(f"*/{file.stem}.parquet"):
                rows_file.unlink()
    return left
