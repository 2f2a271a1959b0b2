"""A backup put back: looked at first, put together aside, and only then given its place in the home.

Who was erased since the backup stays known: the tombstones of this home and of the backup are joined, never replaced.
Cut off anywhere, a restore is run again; until then the home refuses to be used (`unfinished`).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from charthouse import faults
from charthouse.errors import CharthouseError, PrivacyError, SetupError
from charthouse.files import sync, write_whole
from charthouse.lake.session import data_of
from charthouse.privacy import carried, manifests
from charthouse.privacy.backup import LAKES, TOMBSTONES, TREES, count_rows
from charthouse.privacy.databases import STATE, database_of, is_empty, put_back
from charthouse.settings import Settings, get_settings
from charthouse.state import anchors, audit, head_version, migrate, session, tombstones
from charthouse.state.engine import engine
from charthouse.state.key_sources import KeyFile, replace_keys, source_of
from charthouse.state.linking import SigningKey
from charthouse.state.privacy import Receipt
from charthouse.state.seals import Sealer, sealer_of

if TYPE_CHECKING:
    from charthouse.privacy.carried import Proof
    from charthouse.privacy.manifests import Entry

ASIDE: Final = ".restoring"
KEY: Final = "credentials.key"
MARK: Final = ".restore"
"""Stands in a home while parts of it are exchanged. It holds the proofs of before, until the new state has them."""
LEFTOVERS: Final = ("landing", "shelf", "staging", "uploads")
"""What a run of before has on its way: it does not belong to the state that is put back."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back."""

    backup_id: str
    made_at: str
    files: int
    rows: dict[str, dict[str, int]]
    tombstones: int


def unfinished(home: Path) -> bool:
    """Whether a restore of this home was cut off half-way."""
    return (home / MARK).exists()


def sweep(home: Path) -> None:
    """Remove what a restore put together that was cut off before it touched anything. Hold the home meanwhile."""
    if not unfinished(home):
        shutil.rmtree(home / ASIDE, ignore_errors=True)


def restore(
    folder: Path, keys: Path | None = None, *, replace: bool = False, settings: Settings | None = None
) -> Restored:
    """Put a backup into the home of the settings. Hold the home meanwhile; nothing of it may be at work.

    Args:
        folder: the backup.
        keys: where its keys are: the folder that was given when it was made, or what it was made there.
        replace: whether what stands in the home may go.

    Raises:
        PrivacyError: CH953 when the backup does not hold, CH954 when it cannot be restored here.
        SetupError: CH006 when no key at hand opens it.
    """
    settings = settings or get_settings()
    folder = folder.expanduser().absolute()
    given, sealer = _keys_of(keys, folder, settings)
    said = manifests.read(folder, sealer)
    files = manifests.listed(said)
    _refuse(said, settings, replace=replace or unfinished(settings.home))
    manifests.check(folder, files)
    aside = settings.home / ASIDE
    try:
        _put_aside(folder, aside, files)
        with tombstones.held(settings):
            stones = _join_tombstones(aside / TOMBSTONES, settings.tombstones)
        faults.point("restore.aside")
        proofs = carried.read(settings.home / MARK) if unfinished(settings.home) else _proofs(settings)
        carried.write(settings.home / MARK, proofs)
        _put_keys(given, settings)
        _exchange(aside, settings)
    except OSError as error:
        if not unfinished(settings.home):
            shutil.rmtree(aside, ignore_errors=True)
        raise PrivacyError("CH954", where=str(error.filename or settings.home), what=error.strerror or "") from None
    _look(said, settings)
    number, digest = said["audit_end"]
    anchors.replace(settings.audit_anchors, number, digest)
    with session(settings) as state:
        for row in proofs:
            state.merge(row)
        audit.record(state, "operator", "backup.restored", "backup", said["id"], {"files": len(files)})
    faults.point("restore.proofs")
    (settings.home / MARK).unlink()
    sync(settings.home)
    return Restored(said["id"], said["made_at"], len(files), said["rows"], stones)


def _keys_of(keys: Path | None, folder: Path, settings: Settings) -> tuple[Path | None, Sealer]:
    """The folder of the keys that open a backup, and what opens it: keys given with it, else those of this home."""
    if keys is None:
        return None, sealer_of(settings)
    keys = keys.expanduser().absolute()
    if not keys.is_dir():
        raise PrivacyError("CH954", where=str(keys), what="there is no such folder")
    places = [keys, *sorted((place for place in keys.iterdir() if place.is_dir()), reverse=True)]
    for place in places:
        if (place / KEY).is_file():
            sealer = Sealer(place / KEY)
            if manifests.opens(folder, sealer):
                return place, sealer
    if any((place / KEY).is_file() for place in places):
        raise SetupError("CH006", where=str(keys), what="it is not the key that this backup was made with")
    return keys, sealer_of(settings)  # whoever seals with keys from elsewhere has Airflow's secrets in it


def _refuse(said: dict[str, Any], settings: Settings, *, replace: bool) -> None:
    if said["state_version"] > head_version():
        what = f"it is at {said['state_version']}, this software knows {head_version()}"
        raise PrivacyError("CH954", where=STATE, what=what)
    for name, kind in said["stores"].items():
        database = database_of(name, settings)
        if database.kind != kind:
            what = f"the backup's is {kind}, the settings name {database.kind}"
            raise PrivacyError("CH954", where=name, what=what)
        if not replace and not is_empty(database):
            raise PrivacyError("CH954", where=database.name, what="it is there already; --replace puts it away")
    for lake in LAKES:
        if "://" in data_of(lake, settings):
            raise PrivacyError("CH955", where=lake, what="its files are in an object store")
        data = Path(data_of(lake, settings))
        if not replace and data.is_dir() and any(data.iterdir()):
            raise PrivacyError("CH954", where=str(data), what="it is not empty; --replace puts it away")


def _put_aside(folder: Path, aside: Path, files: list[Entry]) -> None:
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True, mode=0o700)
    for entry in files:
        target = aside / entry.path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(folder / entry.path, target)
        target.chmod(0o600)
        sync(target)
    manifests.check(aside, files)  # what was read is what was looked at before


def _put_keys(given: Path | None, settings: Settings) -> None:
    """The keys of the backup beside those that are there, which may have sealed something since."""
    source = source_of(settings)
    for file in sorted(given.glob("*.key")) if given is not None else ():
        target = settings.home / "keys" / file.name
        if file.name == KEY:
            if isinstance(source, KeyFile):
                source.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                present = source.keys() if source.file.exists() else []
                added = [key for key in KeyFile(file).keys() if key not in present]  # noqa: SIM118  # it is no dict
                replace_keys(source.file, [*present, *added])
        elif not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(target, file.read_bytes())
            target.chmod(0o600)


def _join_tombstones(backed_up: Path, present: Path) -> int:
    """All lines of both, those of this home first; the first line is the key under which the others were made.

    Raises:
        PrivacyError: CH954 when they were made under different keys: none of them may be lost.
    """
    found = [file.read_bytes().splitlines() for file in (present, backed_up) if file.exists()]
    files = [lines for lines in found if len(lines) > 1] or found[-1:]  # a key under which nothing was made yet
    if len({lines[0] for lines in files if lines}) > 1:
        raise PrivacyError("CH954", where=str(present), what="these tombstones are of another installation")
    joined = list(dict.fromkeys(line for lines in files for line in lines if line.strip()))
    if joined:
        present.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(present, b"".join(line + b"\n" for line in joined))
        present.chmod(0o600)
    return max(len(joined) - 1, 0)


def _proofs(settings: Settings) -> list[Proof]:
    """The receipts of this home, and what they are checked with: a backup of before does not have them."""
    kept: list[Proof] = []
    try:
        if is_empty(database_of(STATE, settings)):
            return kept
        with session(settings, read_only=True) as state:
            kept += state.scalars(select(SigningKey).where(SigningKey.purpose == "receipt"))
            kept += state.scalars(select(Receipt))
            state.expunge_all()
    except (CharthouseError, SQLAlchemyError):
        return []  # what stands here may be what is mended by this restore
    return kept


def _exchange(aside: Path, settings: Settings) -> None:
    """Put each part in the place of what stood there; the state last. Done again, it does no harm."""
    for name in LEFTOVERS:
        shutil.rmtree(settings.home / name, ignore_errors=True)
    for lake in LAKES:
        data = Path(data_of(lake, settings))
        _replace_folder(aside / lake / "data", data)
        _replace_database(lake, aside, settings)
        faults.point(f"restore.{lake}")
    for name in TREES:
        if name == "receipts":  # proofs are for good: those of since the backup stay
            _add_files(aside / name, settings.home / name)
        else:
            _replace_folder(aside / name, settings.home / name)
    engine(settings).dispose()
    _replace_database(STATE, aside, settings)
    faults.point("restore.state")
    shutil.rmtree(aside)


def _add_files(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in sorted(source.glob("*")):
        file.replace(target / file.name)


def _replace_folder(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if source.is_dir():
        shutil.move(source, target)


def _replace_database(name: str, aside: Path, settings: Settings) -> None:
    database = database_of(name, settings)
    copy = aside / database.copy_name
    if database.file is None:
        put_back(database, copy, replace=True)  # whether it may be replaced was asked before anything was touched
        return
    for suffix in ("", "-wal", "-shm", "-journal"):
        database.file.with_name(database.file.name + suffix).unlink(missing_ok=True)
    database.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(copy, database.file)
    sync(database.file.parent)


def _look(said: dict[str, Any], settings: Settings) -> None:
    """Bring the state to this software's version, and count what the lakes hold now."""
    migrate(settings)
    for lake in LAKES:
        if count_rows(lake, settings) != said["rows"][lake]:
            raise PrivacyError("CH954", where=lake, what="it does not hold the rows that were backed up")
