"""Files that are absent or whole: written under another name, brought to disk, and only then given their own."""

from __future__ import annotations

import os
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
