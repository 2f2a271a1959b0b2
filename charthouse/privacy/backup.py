"""A backup of a whole home, taken while nights run: state, both lakes, exports and receipts; the keys apart.

In this order: state, records, vault, and last the tombstones. So the vault has all that the state says has been read,
the records nothing that the vault has not, and whoever was erased meanwhile is known for it. A lake is its catalog as
it was at one moment and the files that this catalog names: files are never changed once written, and where one was
cleaned away before it was copied, a newer catalog is taken. The backup gets its name when it is whole and looked at.
"""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from charthouse import faults
from charthouse.errors import LakeError, PrivacyError
from charthouse.files import sync
from charthouse.lake import vault
from charthouse.lake.session import RECORDS, VAULT, attach, connect, data_of
from charthouse.log import get_logger
from charthouse.privacy import folders, manifests
from charthouse.privacy.databases import STATE, Database, copied, database_of
from charthouse.settings import Settings, get_settings
from charthouse.state import audit, head_version, session
from charthouse.state.base import now
from charthouse.state.key_sources import KeyFile, source_of
from charthouse.state.locks import exclusive
from charthouse.state.seals import sealer_of
from transforms.failures import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import duckdb

log = get_logger(__name__)

LAKES: Final = (RECORDS, VAULT)
TREES: Final = ("exports", "receipts")
TOMBSTONES: Final = "tombstones.jsonl"
SETTINGS: Final = "settings.json"
TURNS: Final = 5
"""Catalogs taken of a lake whose files are being cleaned away, before cleaning has to wait."""
_SECRET: Final = ("_url", "_catalog", "keys", "key_provider")

_FILES: Final = " UNION ".join(
    f"""
    SELECT s.path, s.path_is_relative, t.path, t.path_is_relative, f.path, f.path_is_relative, f.file_size_bytes
    FROM {table} f JOIN ducklake_table t ON t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id = t.schema_id
    """
    for table in ("ducklake_data_file", "ducklake_delete_file")
)
_ROWS: Final = """
    SELECT t.table_name,
           coalesce((SELECT sum(f.record_count) FROM ducklake_data_file f
                     WHERE f.table_id = t.table_id AND f.end_snapshot IS NULL), 0)
           - coalesce((SELECT sum(d.delete_count) FROM ducklake_delete_file d
                       WHERE d.table_id = t.table_id AND d.end_snapshot IS NULL), 0)
    FROM ducklake_table t WHERE t.end_snapshot IS NULL
"""


@dataclass(slots=True)
class Backup:
    """A backup that was made: its id, what it holds, where the keys are."""

    backup_id: str
    files: int = 0
    bytes: int = 0
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    keys: str = ""


def make(folder: Path, keys: Path | None = None, settings: Settings | None = None) -> Backup:
    """Back up the home into `folder`, which is absent until the backup is whole; the keys into a folder under `keys`.

    Raises:
        PrivacyError: CH952 when it cannot be made, CH955 when a store is not one that this can copy.
        SetupError: CH006 when our keys cannot be opened.
    """
    settings = settings or get_settings()
    sealer_of(settings)
    folder = folder.expanduser().absolute()
    keys = keys.expanduser().absolute() if keys is not None else None
    _refuse(folder, keys, settings)
    made = Backup(f"{now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}")
    with folders.whole(folder, _refused) as scratch:
        moments = _copy(scratch, settings)
        made.rows = {lake: moment.rows for lake, moment in moments.items() if lake in LAKES}
        faults.point("backup.copied")
        _verify(scratch, moments, settings)
        said = {
            "id": made.backup_id,
            "made_at": now().isoformat(),
            "software": version("charthouse"),
            "state_version": head_version(),
            "stores": {name: database_of(name, settings).kind for name in (STATE, *LAKES)},
            "rows": made.rows,
            "audit_end": list(moments[STATE].end),
        }
        made.keys = _put_keys(keys, made.backup_id, settings)
        manifests.write(scratch, said, settings)
        for path in scratch.rglob("*"):
            sync(path)
            made.files += path.is_file()
            made.bytes += path.stat().st_size if path.is_file() else 0
        faults.point("backup.written")
    with session(settings) as state:
        detail = {"files": made.files, "bytes": made.bytes}
        audit.record(state, "operator", "backup.made", "backup", made.backup_id, detail)
    return made


@dataclass(slots=True)
class _Moment:
    """What a database held when it was copied."""

    rows: dict[str, int] = field(default_factory=dict)
    end: tuple[int, str] = (0, "")
    deposits: set[str] = field(default_factory=set)
    version: str = ""
    snapshot: int = 0


def _refused(folder: Path, why: str) -> PrivacyError:
    return PrivacyError("CH952", where=str(folder), what=why)


def _refuse(folder: Path, keys: Path | None, settings: Settings) -> None:
    for place in (folder, *([keys] if keys is not None else [])):
        if place.resolve().is_relative_to(settings.home.resolve()):
            raise PrivacyError("CH952", where=str(place), what="a backup stands outside of the home")
        for above in (place.resolve(), *place.resolve().parents):
            if (above / manifests.FILE).is_file():
                raise PrivacyError("CH958", where=str(place), what=f"{above} is one")
    if keys is not None and (keys.resolve().is_relative_to(folder.resolve()) or folder.is_relative_to(keys)):
        raise PrivacyError("CH952", where=str(keys), what="keys are kept apart from what they open")
    folders.refuse(folder, settings, _refused)
    for lake in LAKES:
        if "://" in data_of(lake, settings):
            raise PrivacyError("CH955", where=lake, what="its files are in an object store, which versions them itself")


def _copy(scratch: Path, settings: Settings) -> dict[str, _Moment]:
    moments = {STATE: _copy_state(scratch, settings)}
    faults.point("backup.state")
    for lake in LAKES:
        moments[lake] = _copy_lake(lake, scratch, settings)
        faults.point(f"backup.{lake}")
    for name in TREES:
        _copy_tree(settings.home / name, scratch / name)
    present = {
        name: str(value)
        for name, value in settings.model_dump().items()
        if not name.endswith(_SECRET) and value != type(settings).model_fields[name].default
    }
    (scratch / SETTINGS).write_text(json.dumps(present, indent=1, sort_keys=True))
    if settings.tombstones.exists():  # last: whoever is erased by now is erased again after a restore
        shutil.copyfile(settings.tombstones, scratch / TOMBSTONES)
    return moments


def _copy_state(scratch: Path, settings: Settings) -> _Moment:
    database = database_of(STATE, settings)
    with copied(database, scratch / database.copy_name) as ask:
        [(at,)] = ask("SELECT version_num FROM alembic_version")
        end = ask("SELECT id, digest FROM audit_event ORDER BY id DESC LIMIT 1")
        deposits = ask("SELECT DISTINCT deposit FROM watermark WHERE deposit IS NOT NULL")
    moment = _Moment(version=str(at), deposits={str(deposit) for (deposit,) in deposits})
    if end:
        moment.end = (int(end[0][0]), str(end[0][1]))
    return moment


def _copy_lake(lake: str, scratch: Path, settings: Settings) -> _Moment:
    """Copy a catalog and the files that it names; where one of them went meanwhile, begin with a newer catalog."""
    database = database_of(lake, settings)
    for _ in range(TURNS):
        moment = _turn(database, scratch, settings)
        if moment is not None:
            return moment
    with exclusive(f"lake {lake}", settings):
        moment = _turn(database, scratch, settings)
    if moment is None:
        raise PrivacyError("CH952", where=lake, what="files that its catalog names are gone; run: charthouse doctor")
    return moment


def _turn(database: Database, scratch: Path, settings: Settings) -> _Moment | None:
    source, target = Path(data_of(database.name, settings)), scratch / database.name / "data"
    with copied(database, scratch / database.copy_name) as ask:
        named = _named(ask, database.name, settings)
        rows = {str(table): int(count) for table, count in ask(_ROWS)}
        [(snapshot,)] = ask("SELECT max(snapshot_id) FROM ducklake_snapshot")
    faults.point(f"backup.{database.name}.catalog")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, size in named.items():
        file = target / path
        if file.exists() and file.stat().st_size == size:
            continue
        try:
            _copy_one(source / path, file)
        except FileNotFoundError:
            log.debug("a file of a lake was cleaned away meanwhile", lake=database.name)
            return None
        if file.stat().st_size != size:
            raise PrivacyError("CH952", where=database.name, what="a file is not of the size that its catalog knows")
    for file in target.rglob("*.parquet"):
        if file.relative_to(target).as_posix() not in named:
            file.unlink()  # of a catalog that was taken before this one
    return _Moment(rows=rows, snapshot=int(snapshot))


def _named(ask: Callable[[str], list[tuple[Any, ...]]], lake: str, settings: Settings) -> dict[str, int]:
    """The files that a catalog names, below the folder of its data, with their sizes."""
    data = Path(data_of(lake, settings))
    found = {}
    for *parts, size in ask(_FILES):
        path = Path()
        for part, relative in zip(parts[::2], parts[1::2], strict=True):
            path = path / str(part) if relative else Path(str(part))
        if path.is_absolute():
            if not path.is_relative_to(data):
                raise PrivacyError("CH955", where=lake, what="a file of it stands outside of its folder")
            path = path.relative_to(data)
        found[path.as_posix()] = int(size)
    return found


def _copy_one(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(source, target)
    target.chmod(0o600)


def _copy_tree(source: Path, target: Path) -> None:
    for file in sorted(source.rglob("*")):
        if not file.is_file() or file.is_symlink() or file.suffix == ".part":
            continue
        try:
            _copy_one(file, target / file.relative_to(source))
        except FileNotFoundError:
            continue  # its time was over, or its person was erased


def _put_keys(keys: Path | None, backup_id: str, settings: Settings) -> str:
    """Copy what opens the backup to a place of its own. Returns where it is, in words."""
    source = source_of(settings)
    if keys is None:
        return f"left out; what is sealed opens with those of {source.where} alone"
    with folders.whole(keys / backup_id, _refused) as scratch:
        if isinstance(source, KeyFile):
            _copy_one(source.file, scratch / "credentials.key")
        for file in (settings.home / "keys").glob("airflow-*"):
            _copy_one(file, scratch / file.name)
        for file in scratch.iterdir():
            sync(file)
    where = str(keys / backup_id)
    return where if isinstance(source, KeyFile) else f"{where}, without those that seal, which {source.where} holds"


def _verify(scratch: Path, moments: dict[str, _Moment], settings: Settings) -> None:
    """Look at the copy as a restore will: it opens, counts what its catalogs say, and has what has been read."""
    if moments[STATE].version != head_version():
        raise PrivacyError("CH952", where=STATE, what=f"it is at {moments[STATE].version}; run: charthouse init")
    for lake in LAKES:
        moment, copy = moments[lake], in_copy(lake, scratch, settings)
        if count_rows(lake, copy, snapshot=moment.snapshot, deposits=moments[STATE].deposits) != moment.rows:
            raise PrivacyError("CH952", where=lake, what="the copy does not hold the rows that its catalog knows")


def in_copy(lake: str, folder: Path, settings: Settings) -> Settings:
    """The settings by which a lake is opened from a copy: its files, and its catalog where that is a file."""
    database = database_of(lake, settings)
    given = {f"{lake}_data": str(folder / lake / "data")}
    if database.file is not None:
        given[f"{lake}_catalog"] = f"sqlite:{folder / database.copy_name}"
    return settings.model_copy(update=given)


def count_rows(lake: str, settings: Settings, *, snapshot: int = 0, deposits: Collection[str] = ()) -> dict[str, int]:
    """The rows of each table of a lake, each read from its file; of an older snapshot where one is named.

    Raises:
        PrivacyError: CH952 when the lake does not open, or lacks one of the `deposits`.
    """
    try:
        with connect() as connection:
            attach(connection, lake, read_only=True, settings=settings)
            if lake == VAULT and set(deposits) - vault.deposits_among(connection, deposits):
                raise PrivacyError("CH952", where=lake, what="it lacks what the state says has been read")
            return {table: _read(connection, f"{lake}.{table}", snapshot) for table in _tables(connection, lake)}
    except (*FAILURES, LakeError) as error:
        log.exception("the copy of a lake does not open", lake=lake)
        raise PrivacyError("CH952", where=lake, what=f"the copy does not open: {type(error).__name__}") from None


def _tables(connection: duckdb.DuckDBPyConnection, lake: str) -> list[str]:
    found = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [lake]).fetchall()
    return [name for (name,) in found]


def _read(connection: duckdb.DuckDBPyConnection, table: str, snapshot: int) -> int:
    # A count alone would come from the catalog: a column of every file is read.
    then = f" AT (VERSION => {snapshot})" if snapshot else ""
    row = connection.execute(f"SELECT count(*), max(hash(person)) FROM (FROM {table}{then}) AS t(person)").fetchone()
    return int(row[0]) if row else 0
