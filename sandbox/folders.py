"""Which files a SOURCE is made of: every regular file at any depth, or the one file that it is.

What a file holds decides whether it is read, not its name. Hidden files and folders are left aside and counted; folders
that links lead to are entered once.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Files:
    """`found`: the files to read, sorted; `unreadable`: (place, reason); `aside`: how many there are of each kind."""

    found: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    aside: dict[str, int] = field(default_factory=dict)


def source_files(source: Path) -> Files:
    """Walk a SOURCE.

    Raises:
        OSError: it is not there, or may not be read.
    """
    files = Files()
    if not stat.S_ISDIR(source.stat().st_mode):
        files.found.append(source)
        return files
    entered: set[tuple[int, int]] = set()
    waiting = [source]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                _count(files, "folders linked twice")
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    _sort_out(entry, files, waiting)
        except OSError as error:
            if folder == source:
                raise
            files.unreadable.append((folder, f"the folder cannot be read ({type(error).__name__})"))
    files.found.sort()
    return files


def shown(path: Path, source: Path) -> str:
    """A path below a SOURCE as text that can be printed anywhere, whatever bytes its name is made of."""
    name = str(path.relative_to(source)) if path != source else path.name
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in readable)


def _sort_out(entry: os.DirEntry[str], files: Files, waiting: list[Path]) -> None:
    path = Path(entry.path)
    if entry.name.startswith("."):
        _count(files, "hidden files and folders")
        return
    try:
        mode = entry.stat().st_mode
    except OSError:
        files.unreadable.append((path, "the link leads nowhere"))
        return
    if stat.S_ISDIR(mode):
        waiting.append(path)
    elif stat.S_ISREG(mode):
        files.found.append(path)
    else:
        _count(files, "devices, pipes and sockets")


def _count(files: Files, kind: str) -> None:
    files.aside[kind] = files.aside.get(kind, 0) + 1
