"""The files of one run between the vault and the records: who is rebuilt, their rows, and what the audit said.

```
home/staging/<run_id>/
    groups/<group>.json       the people of a group and the vault sequence each is built from
    rows/<table>/<group>.parquet
    groups/<group>.done       the marker: the group's rows are all there
    audit.json                the marker of the audit: held tables, counts
    withheld.parquet          table_name, row_key, rule
```
"""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from charthouse.settings import get_settings


def folder(run_id: str) -> Path:
    """The staging folder of a run."""
    return get_settings().staging / run_id


def rows(run_id: str) -> Path:
    """Where the staged rows of a run stand, a folder a table."""
    return folder(run_id) / "rows"


def group_file(run_id: str, group: str) -> Path:
    """The file that lists the people of a group."""
    return folder(run_id) / "groups" / f"{group}.json"


def done_marker(run_id: str, group: str) -> Path:
    """The marker that a group's rows are all there."""
    return folder(run_id) / "groups" / f"{group}.done"


def audit_file(run_id: str) -> Path:
    """What the audit of a run said."""
    return folder(run_id) / "audit.json"


def withheld_file(run_id: str) -> Path:
    """The rows that the audit keeps out of the tables."""
    return folder(run_id) / "withheld.parquet"


def people_of(run_id: str) -> dict[str, int]:
    """Everyone whose rows this run rebuilds, with the vault sequence they are built from."""
    everyone: dict[str, int] = {}
    for file in sorted((folder(run_id) / "groups").glob("*.json")):
        everyone |= orjson.loads(file.read_bytes())
    return everyone


def write_whole(file: Path, content: bytes) -> None:
    """Write `content` so that the file is either absent or whole: scratch, fsync, rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(file.name + ".part")
    with scratch.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    scratch.replace(file)
