"""Where finished exports wait: a folder a request, a pair of encrypted files a part, the keys sealed in the state.

Whoever takes the state's row away has made the files unreadable, backups of them too.
"""

from __future__ import annotations

import contextlib
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import orjson
from sqlalchemy import delete, select

from charthouse.clock import now
from charthouse.errors import PrivacyError, SetupError
from charthouse.privacy.export.archive import Finished, Index, index_of
from charthouse.privacy.export.sealed import SealedFile, new_key, opened
from charthouse.state import session
from charthouse.state.base import new_key as new_id
from charthouse.state.privacy import Download, ExportPart, PrivacyRequest
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from charthouse.settings import Settings

_NAME: Final = "part-{number:04d}.zip.age"


def folder_of(request_id: str, settings: Settings) -> Path:
    """The folder of a request, made where it is missing; only we can read it."""
    folder = settings.exports / request_id
    settings.exports.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def begin_part(request_id: str, number: int, settings: Settings) -> tuple[Path, str]:
    """The file of a part, and a key for it."""
    return folder_of(request_id, settings) / _NAME.format(number=number), new_key()


def keep_part(request_id: str, finished: Finished, settings: Settings) -> None:
    """Note a part that is whole: its index goes beside it, then its row is written.

    Raises:
        PrivacyError: CH943 when the export was called off meanwhile. Nothing of the part is left then.
    """
    index = SealedFile(index_file(finished.file), finished.key)
    index.write(orjson.dumps(finished.index.as_data()))
    index.close()
    part_id = new_id()
    at = now()
    row = ExportPart(
        id=part_id,
        request_id=request_id,
        number=finished.index.number,
        file=finished.file.name,
        size=finished.size,
        sha256=finished.sha256,
        sealed_key=sealer_of(settings).seal(finished.key, _owner(part_id)),
        created_at=at,
        expires_at=at + timedelta(days=settings.export_keep_days),
    )
    with session(settings) as state:
        request = state.get(PrivacyRequest, request_id, with_for_update=True)
        alive = request is not None and request.status == "running"
        if alive:
            state.add(row)
    if not alive:
        shutil.rmtree(finished.file.parent, ignore_errors=True)
        raise PrivacyError("CH943", where=request_id)


def kept_parts(request_id: str, settings: Settings) -> list[Index]:
    """The indexes of the parts that an earlier try finished, in order, up to the first that cannot be read.

    Everything else in the folder goes: it was being written when its process died.
    """
    folder = folder_of(request_id, settings)
    indexes: list[Index] = []
    with session(settings, read_only=True) as state:
        rows = list(
            state.scalars(select(ExportPart).where(ExportPart.request_id == request_id).order_by(ExportPart.number))
        )
    good = set()
    for row in rows:
        if row.number != len(indexes) + 1 or not (folder / row.file).exists():
            break
        try:
            data = b"".join(opened(index_file(folder / row.file), key_of(row, settings)))
            indexes.append(index_of(orjson.loads(data)))
        except (PrivacyError, SetupError, ValueError):
            break
        good |= {row.file, index_file(folder / row.file).name}
    with session(settings) as state:
        state.execute(delete(ExportPart).where(ExportPart.request_id == request_id, ExportPart.number > len(indexes)))
    for file in folder.iterdir():
        if file.name not in good:
            file.unlink()
    return indexes


def parts_of(request_id: str, settings: Settings) -> list[ExportPart]:
    """The parts of an export whose files are there, in order."""
    with session(settings, read_only=True) as state:
        query = select(ExportPart).where(ExportPart.request_id == request_id, ExportPart.expires_at > now())
        return list(state.scalars(query.order_by(ExportPart.number)))


def read_part(part: ExportPart, settings: Settings, begin: int = 0) -> Iterator[bytes]:
    """The ZIP of a part, from a byte on.

    Raises:
        PrivacyError: CH942 when the file is not as it was written, or gone.
        SetupError: CH006 when the key does not open the row.
    """
    return opened(settings.exports / part.request_id / part.file, key_of(part, settings), begin)


def key_of(part: ExportPart, settings: Settings) -> str:
    """The key that opens a part."""
    return sealer_of(settings).open(part.sealed_key, _owner(part.id))


def index_file(file: Path) -> Path:
    """The index beside a part."""
    return file.with_name(file.name.replace(".zip.age", ".index.age"))


def forget(request_id: str, settings: Settings) -> int:
    """Delete the parts of an export: their keys first, then the files. Returns how many there were."""
    with session(settings) as state:
        ids = list(state.scalars(select(ExportPart.id).where(ExportPart.request_id == request_id)))
        state.execute(delete(Download).where(Download.part_id.in_(ids)))
        state.execute(delete(ExportPart).where(ExportPart.request_id == request_id))
    folder = settings.exports / request_id
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    return len(ids)


def _owner(part_id: str) -> str:
    return f"key of export part {part_id}"
