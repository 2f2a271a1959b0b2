"""Files that are absent or whole: written under another name, brought to disk, and only then given their own."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def scratch_of(file: Path) -> Path:
    """Where to write what becomes `file`. Readers look at no such name."""
    return file.with_name(file.name + ".part")


def put(scratch: Path, file: Path) -> None:
    """Give what is written in `scratch` the name `file`, in place of what bore it. Its bytes are on disk by then."""
    sync(scratch)
    scratch.replace(file)


def write_private(file: Path, content: bytes) -> Path:
    """Write what may become `file` under a name of its own, for this user's eyes alone; its bytes are on disk."""
    scratch = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(descriptor)
    return scratch


def put_first(scratch: Path, file: Path) -> None:
    """Give what is written in `scratch` the name `file`. Where another process was quicker, its file stays."""
    try:
        os.link(scratch, file)  # unlike a rename, this never replaces anything
    except FileExistsError:
        pass
    finally:
        scratch.unlink()


def write_whole(file: Path, content: bytes) -> None:
    """Write `content` so that the file is either absent or whole, whatever is cut off; its name is on disk as well."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_of(file)
    scratch.write_bytes(content)
    put(scratch, file)
    sync(file.parent)


def sync(path: Path) -> None:
    """Bring a file's bytes, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
