"""Checking an export with the public key alone: nothing was changed, nothing is missing, nothing was added.

Needs no installation, no home and no secret. The ZIPs of an export are given together, in any order; or the folder
into which they were unpacked.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from charthouse.errors import PrivacyError
from charthouse.privacy import signing
from charthouse.privacy.export.manifest import FORMAT, KEYS, MANIFEST, OWN, SIGNATURE
from charthouse.privacy.export.zips import is_as_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

CHUNK: Final = 2**20
MOST_MANIFEST: Final = 2**30
"""A longer list than any export has."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was signed: a number of the catalogue, and the name of the file."""

    code: str
    path: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found. `kid` is the id of the key that signed, `own_keys` whether that key came with the export."""

    findings: tuple[Finding, ...]
    files: int
    size: int
    made_at: str
    parts: int
    kid: str
    own_keys: bool

    @property
    def holds(self) -> bool:
        """Whether everything is as it was signed."""
        return not self.findings


def check(files: Sequence[Path], jwks: Mapping[str, Any] | None = None) -> Checked:
    """Check an export. Without `jwks` the keys in it are used, which proves less: they may have been exchanged.

    Raises:
        PrivacyError: CH933 for what is no export, or cannot be read; CH934 when the list does not fit its signature.
    """
    with ExitStack() as opened:
        places = [place for file in files for place in _places(file, opened)]
        found: dict[str, list[_Place]] = {}
        for place in places:
            found.setdefault(place.name, []).append(place)
        for name in (MANIFEST, SIGNATURE):
            if name not in found:
                raise PrivacyError("CH933", where=str(files[0]), what=f"there is no {name}; it is in the last part")
        content, said, kid = _signed(found, jwks)
        listed = {str(each["path"]): each for each in content["files"]}
        findings = [Finding("CH935", name) for name in OWN if len(found.get(name, ())) > 1]
        if KEYS not in found:
            findings.append(Finding("CH936", KEYS))
        elif hashlib.sha256(_read(found[KEYS][0])).hexdigest() != said.get("keys_sha256"):
            findings.append(Finding("CH935", KEYS))
        parts = int(content.get("parts", 1))
        here = {each["part"] for path, each in listed.items() if path in found}
        absent = sorted({each["part"] for each in listed.values()} - here)
        findings += [Finding("CH938", f"part {number} of {parts}") for number in absent]
        size = 0
        for path, each in listed.items():
            there = found.get(path, [])
            if not there and each["part"] in here:
                findings.append(Finding("CH936", path))
            elif any(not _fits(place, each) for place in there):
                findings.append(Finding("CH935", path))
            size += int(each["size"])
        findings += [Finding("CH937", name) for name in sorted(found) if name not in listed and name not in OWN]
    if not findings:
        changed = [file.name for file in files if file.is_file() and not is_as_written(file, str(said["made_at"]))]
        findings += [Finding("CH935", f"{name} (the ZIP itself)") for name in changed]
    return Checked(tuple(findings), len(listed), size, str(said.get("made_at", "")), parts, kid, jwks is None)


@dataclass(frozen=True, slots=True)
class _Place:
    """A file of the export: its name in it, how large it says it is, and what opens it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def _places(file: Path, opened: ExitStack) -> Iterator[_Place]:
    """What is in a ZIP or in a folder."""
    if file.is_dir():
        for each in sorted(file.rglob("*")):
            if each.is_symlink() or not each.is_dir():
                yield _Place(each.relative_to(file).as_posix(), each.lstat().st_size, lambda each=each: each.open("rb"))  # type: ignore[misc]
        return
    try:
        archive = opened.enter_context(zipfile.ZipFile(file))
    except OSError as error:
        raise PrivacyError("CH933", where=str(file), what=error.strerror or "it is no ZIP") from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, ValueError):
        raise PrivacyError("CH933", where=str(file), what="it is no ZIP") from None
    for entry in archive.infolist():
        yield _Place(entry.filename, entry.file_size, lambda entry=entry: archive.open(entry))  # type: ignore[misc]


def _fits(place: _Place, said: Mapping[str, Any]) -> bool:
    """Whether a file is the one that is listed."""
    if place.size != said["size"]:
        return False
    digest, left = hashlib.sha256(), int(said["size"])
    try:
        with place.open() as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
                left -= len(piece)
                if left < 0:
                    return False
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError):
        return False
    return bool(digest.hexdigest() == said["sha256"])


def _signed(
    found: Mapping[str, list[_Place]], jwks: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The list, what was signed, and by which key."""
    content, proof = _read(found[MANIFEST][0]), _read(found[SIGNATURE][0])
    if jwks is None:
        if KEYS not in found:
            raise PrivacyError("CH933", where=KEYS, what="it holds no keys: name a file of them with --keys")
        jwks = key_set(_read(found[KEYS][0]), KEYS)
    try:
        signed = proof.decode("ascii").strip()
        said = signing.verify(signed, jwks)
    except (PrivacyError, UnicodeDecodeError):
        raise PrivacyError("CH934", where=SIGNATURE, what="none of the keys signed it") from None
    if said.get("type") != FORMAT or said.get("manifest_sha256") != hashlib.sha256(content).hexdigest():
        raise PrivacyError("CH934", where=MANIFEST, what="it is not the one that was signed")
    return json.loads(content), said | {"made_at": json.loads(content).get("made_at", "")}, _kid(signed)


def _read(place: _Place) -> bytes:
    try:
        if place.size > MOST_MANIFEST:
            raise ValueError
        with place.open() as file:
            return file.read(MOST_MANIFEST)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError):
        raise PrivacyError("CH933", where=place.name, what="it cannot be read") from None


def key_set(content: bytes, where: str) -> dict[str, Any]:
    """A JWK set from its JSON.

    Raises:
        PrivacyError: CH939 when it is none.
    """
    try:
        said = json.loads(content)
        if isinstance(said, dict) and isinstance(said.get("keys"), list) and said["keys"]:
            return said
    except (ValueError, RecursionError):
        pass
    raise PrivacyError("CH939", where=where)


def _kid(signed: str) -> str:
    from joserfc.jws import extract_compact

    return str(extract_compact(signed.encode()).headers().get("kid", ""))
