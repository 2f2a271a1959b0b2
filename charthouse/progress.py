"""What a running night tells whoever watches it: lines of JSON in `home/progress.jsonl`, counts only.

Tasks may run in other processes, so a file is the channel: appended in single writes, which POSIX keeps whole.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Step(NamedTuple):
    """One thing that was done: `done` more of `unit` in `stage`; `total` when it is known.

    With a `provider` (its slug), it was done there, and `total` is the provider's; `resources` came along.
    """

    stage: str
    done: int
    total: int | None
    unit: str
    provider: str = ""
    resources: int = 0


def progress_file() -> Path:
    """The file of this home that carries the progress of the running night."""
    return get_settings().home / "progress.jsonl"


def tell(
    stage: str, done: int, *, total: int | None = None, unit: str = "", provider: str = "", resources: int = 0
) -> None:
    """Say that `done` more of `unit` are finished in `stage`."""
    line = json.dumps(Step(stage, done, total, unit, provider, resources)) + "\n"
    descriptor = os.open(progress_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def follow(offset: int = 0) -> Iterator[tuple[int, Step]]:
    """The steps told since `offset`, each with the offset behind it."""
    file = progress_file()
    if not file.exists():
        return
    with file.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if line.endswith(b"\n"):
                offset += len(line)
                yield offset, Step(*json.loads(line))
