"""Files of runs under way: what the subjects' links have landed goes; what they share with others is written anew.

Each file is written anew under the lock of the step that writes it (`charthouse.sync.holding`), so no worker is at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from charthouse.errors import PrivacyError, StateError
from charthouse.files import put, scratch_of, write_whole
from charthouse.lake.session import connect, quoted
from charthouse.privacy.erasers.files import remove_tree
from charthouse.privacy.registry import places
from charthouse.privacy.subjects import Subject, keys_of
from charthouse.sync import holding, strays
from charthouse.sync.bulk_landing import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from charthouse.settings import Settings
    from charthouse.sync.strays import Whom


LISTS: Final = ("links", "whole")
"""What a batch lists links in."""


def erase_landing(subjects: Sequence[Subject], settings: Settings) -> dict[str, int]:
    """Take the subjects out of the landing.

    Raises:
        PrivacyError: CH912 when a step holds a batch for too long, CH911 when a folder cannot be taken away.
    """
    if not places("files", "landing"):
        return {}
    people, links = keys_of(subjects)
    whom = strays.looked_for([pair for subject in subjects for pair in subject.patients], settings)
    gone = 0
    for link_id in links:
        with holding.link(link_id, settings):
            for folder in settings.landing.glob(f"*/*/{link_id}"):
                gone += remove_tree(folder)
    for folder in sorted(settings.landing.glob("*/*")):
        try:
            with holding.batch(f"{folder.parent.name}/{folder.name}", settings):
                gone += _clear_batch(folder, people, links, whom)
        except StateError as error:
            raise PrivacyError("CH912", where="landing", what=error.code) from None
    return {"landing": gone}


def _clear_batch(folder: Path, people: list[str], links: list[str], whom: Mapping[str, Whom]) -> int:
    for leftover in folder.glob("*.part"):
        leftover.unlink(missing_ok=True)
    _forget_export(folder, links)
    _without(folder / "batch.json", lambda said: {**said, **{name: _kept(said.get(name, ()), links) for name in LISTS}})
    return sum(
        _filtered(file, people, links, whom if file.name == "quarantined.parquet" else {})
        for file in (folder / "checked.parquet", folder / "quarantined.parquet")
        if file.exists()
    )


def _kept(listed: Iterable[str], links: list[str]) -> list[str]:
    return [key for key in listed if key not in links]


def _forget_export(folder: Path, links: list[str]) -> None:
    """Take away what an export under way has noted beside its links, if one of them goes: it is read anew."""
    try:
        held = set(orjson.loads((folder / "batch.json").read_bytes())["links"])
    except (OSError, orjson.JSONDecodeError, KeyError):
        return
    if held & set(links) and (folder / FOLDER).exists():
        remove_tree(folder / FOLDER)


def _without(file: Path, change: Any) -> None:
    try:
        said = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return
    changed = change(said)
    if changed != said:
        write_whole(file, orjson.dumps(changed))


def _filtered(file: Path, people: list[str], links: list[str], whom: Mapping[str, Whom]) -> int:
    """Write a Parquet file anew without some rows, row group by row group. Returns how many went."""
    source = pq.ParquetFile(file)
    columns = ["person_key", "link_id", *(("rules", "resource") if whom else ())]
    dropped = _dropped(source.read(columns=columns), people, links, whom)
    gone = pc.sum(dropped).as_py() or 0
    if not gone:
        return 0
    scratch = scratch_of(file)
    with pq.ParquetWriter(scratch, source.schema_arrow, compression="zstd", compression_level=1) as writer:
        for number in range(source.num_row_groups):
            rows = source.read_row_group(number)
            kept = rows.filter(pc.invert(_dropped(rows, people, links, whom)))
            if kept.num_rows:
                writer.write_table(kept)
    put(scratch, file)
    return int(gone)


def _dropped(rows: pa.Table, people: list[str], links: list[str], whom: Mapping[str, Whom]) -> Any:
    of_people = pc.is_in(rows["person_key"], value_set=pa.array(people, pa.string()))
    gone = pc.or_(of_people, pc.is_in(rows["link_id"], value_set=pa.array(links, pa.string())))
    if not whom or not rows.num_rows:
        return gone
    mislaid = [
        strays.RULE in rules and link in whom and whom[link].named_in(resource)
        for link, rules, resource in zip(
            *(rows[name].to_pylist() for name in ("link_id", "rules", "resource")), strict=True
        )
    ]
    return pc.or_(gone, pa.chunked_array([pa.array(mislaid, pa.bool_())]))


def erase_staging(subjects: Sequence[Subject], settings: Settings) -> dict[str, int]:
    """Take the subjects out of what is built and not yet published.

    Raises:
        PrivacyError: CH912 when a step holds a group for too long.
    """
    if not places("files", "staging") or not any(settings.staging.glob("*")):
        return {}
    people, links = keys_of(subjects)
    gone = 0
    with connect(settings) as connection:
        connection.execute("CREATE TEMP TABLE people AS SELECT unnest(?::VARCHAR[]) AS key", [people])
        connection.execute("CREATE TEMP TABLE links AS SELECT unnest(?::VARCHAR[]) AS key", [links])
        for run in sorted(settings.staging.glob("*/")):
            groups = {file.stem for file in run.glob("groups/*.json")} | {file.stem for file in run.glob("rows/*/*")}
            for group in sorted(groups):
                try:
                    with holding.group(f"{run.name}/{group}", settings):
                        gone += _clear_group(connection, run, group, people)
                except StateError as error:
                    raise PrivacyError("CH912", where="staging", what=error.code) from None
            for broken in run.glob("*.parquet"):
                gone += _rewritten(connection, broken, "split_part(row_key, '/', 1) IN (FROM links)")
    return {"staging": gone}


def _clear_group(connection: Any, run: Path, group: str, people: list[str]) -> int:
    marked = (run / "groups" / f"{group}.done").exists()
    file = run / "groups" / f"{group}.json"
    for each in (file, run / "marks" / f"{group}.json"):
        _without(each, lambda said: {key: value for key, value in said.items() if key not in people})
    gone = 0
    for rows in run.glob(f"rows/*/{group}.parquet"):
        if not marked:
            rows.unlink()  # cut off while it was written: the group is built again, or not at all
            continue
        gone += _rewritten(connection, rows, "person_key IN (FROM people) OR link_id IN (FROM links)")
    return gone


def _rewritten(connection: Any, file: Path, of_subject: str) -> int:
    source = f"read_parquet({quoted(str(file))})"
    row = connection.execute(f"SELECT count(*) FROM {source} WHERE {of_subject}").fetchone()
    if not row or not row[0]:
        return 0
    scratch = scratch_of(file)
    connection.execute(
        f"COPY (SELECT * FROM {source} WHERE NOT ({of_subject})) TO {quoted(str(scratch))} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    put(scratch, file)
    return int(row[0])
