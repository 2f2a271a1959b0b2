"""Folders that leave the home: absent until they are whole."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from charthouse.files import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from charthouse.errors import CharthouseError
    from charthouse.settings import Settings

    Refused = Callable[[Path, str], CharthouseError]


def refuse(folder: Path, settings: Settings, refused: Refused) -> None:
    """Let a folder be one that may be written: out of the home, and absent or empty. Raises what `refused` makes."""
    if folder.resolve().is_relative_to(settings.home.resolve()):
        raise refused(folder, "it stands outside of the home")
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise refused(folder, "it is there already, and not empty")


@contextmanager
def whole(folder: Path, refused: Refused) -> Iterator[Path]:
    """A folder beside `folder`, which takes its name at the end. What a killed process left there goes first.

    Raises what `refused` makes of a folder and a reason where it cannot be written, or another process is at it.
    """
    scratch = folder.with_name(f"{folder.name}.part")
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise refused(folder, "another process is at work on it") from None
    except OSError as error:
        raise refused(Path(error.filename or folder), error.strerror or "") from None
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        yield scratch
        sync(scratch)
        scratch.rename(folder)  # an empty folder of that name is replaced
        sync(folder.parent)
    except OSError as error:
        raise refused(Path(error.filename or folder), error.strerror or "") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
