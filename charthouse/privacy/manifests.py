"""The manifest of a backup: every file with its SHA-256, signed by the key that signs receipts.

The signing key travels with it, sealed: whoever restores opens it with the sealing keys, which a backup does not hold,
so that nobody without them can change a backup and sign it anew.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from joserfc import jws
from joserfc.jwk import OKPKey
from sqlalchemy import select

from charthouse.errors import PrivacyError, SetupError
from charthouse.privacy import signing
from charthouse.state import session
from charthouse.state.linking import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from charthouse.settings import Settings
    from charthouse.state.seals import Sealer

FILE: Final = "manifest.jws"
SIGNER: Final = "signer.json"
VERSION: Final = 1
_CHUNK: Final = 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a backup: its path in it (with `/`), its size, its SHA-256."""

    path: str
    bytes: int
    sha256: str


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def entries(folder: Path) -> list[Entry]:
    """Every file of a folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [Entry(path.relative_to(folder).as_posix(), path.stat().st_size, digest(path)) for path in found]


def write(folder: Path, said: dict[str, Any], settings: Settings) -> None:
    """Sign what is said of a backup, with all its files, and put it into the backup.

    Raises:
        SetupError: CH006 when our key cannot be opened.
    """
    listed = [[entry.path, entry.bytes, entry.sha256] for entry in entries(folder)]
    signed = signing.sign({"charthouse_backup": VERSION, **said, "files": listed}, settings=settings)
    kid = jws.extract_compact(signed.encode()).headers()["kid"]
    with session(settings, read_only=True) as state:
        key = state.scalars(select(SigningKey).where(SigningKey.kid == kid)).one()
        signer = {"kid": kid, "sealed_private": b64encode(key.sealed_private).decode()}
    (folder / SIGNER).write_text(json.dumps(signer))
    (folder / FILE).write_text(signed)


def read(folder: Path, sealer: Sealer) -> dict[str, Any]:
    """What the manifest of a backup says, if our keys vouch for it.

    Raises:
        PrivacyError: CH953 when there is none, or it does not hold.
        SetupError: CH006 when the keys at hand are not those of the installation that made it.
    """
    kid, sealed = _signer(folder)
    try:
        private = json.loads(sealer.open(sealed, f"private key {kid}"))
    except SetupError as error:
        raise SetupError("CH006", where=error.where, what="it is not the key that this backup was made with") from None
    try:
        signed = (folder / FILE).read_bytes().decode(errors="replace")
    except FileNotFoundError:
        raise PrivacyError("CH953", where=FILE, what="there is none: this is no whole backup") from None
    public = {**OKPKey.import_key(private).as_dict(private=False), "kid": kid, "use": "sig", "alg": signing.ALGORITHM}
    try:
        said = signing.verify(signed, {"keys": [public]})
    except PrivacyError:
        raise PrivacyError("CH953", where=FILE, what="it was changed") from None
    if said.get("charthouse_backup") != VERSION:
        raise PrivacyError("CH953", where=FILE, what="it is of another version of this software")
    return said


def opens(folder: Path, sealer: Sealer) -> bool:
    """Whether these keys are those that a backup was made with.

    Raises:
        PrivacyError: CH953 when there is no backup, or its signer does not read.
    """
    return sealer.opens(_signer(folder)[1])


def _signer(folder: Path) -> tuple[str, bytes]:
    try:
        said = json.loads((folder / SIGNER).read_bytes())
        return str(said["kid"]), b64decode(said["sealed_private"])
    except FileNotFoundError:
        raise PrivacyError("CH953", where=SIGNER, what="there is none: this is no whole backup") from None
    except (ValueError, KeyError, TypeError):
        raise PrivacyError("CH953", where=SIGNER, what="it was changed") from None


def listed(said: dict[str, Any]) -> list[Entry]:
    """The files that a manifest lists.

    Raises:
        PrivacyError: CH953 for a path that leads out of the backup.
    """
    found = [Entry(str(path), int(size), str(sha256)) for path, size, sha256 in said["files"]]
    for entry in found:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts:
            raise PrivacyError("CH953", where=FILE, what="a path leads out of the backup")
    return found


def check(folder: Path, files: Iterable[Entry]) -> None:
    """Look that every listed file is there, and is what it was.

    Raises:
        PrivacyError: CH953 that names the first file which is not.
    """
    for entry in files:
        file = folder / entry.path
        if file.is_symlink() or not file.is_file():
            raise PrivacyError("CH953", where=entry.path, what="it is missing")
        if file.stat().st_size != entry.bytes or digest(file) != entry.sha256:
            raise PrivacyError("CH953", where=entry.path, what="it was changed")
