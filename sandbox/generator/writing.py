"""Where made-up people go: into a store, or as NDJSON into a folder."""

from __future__ import annotations

import gzip
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

import orjson

from sandbox.files import Entry, Group
from sandbox.generator.making import BROKEN_SHARE, Report, generate
from sandbox.loader import load_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.store import Store


def into_store(
    store: Store,
    people: int,
    seed: int,
    *,
    broken_share: float = BROKEN_SHARE,
    on_progress: Callable[[int, int, int], None] = lambda *_: None,
) -> tuple[dict[str, Any], Report]:
    """Make a store hold made-up people. Returns the inventory and the report.

    `on_progress(people done, people in all, resources)` is called after each person.
    """
    report = Report()

    def groups() -> Iterator[Group]:
        for resources in generate(people, seed, report, broken_share=broken_share):
            entries = (
                Entry(raw=orjson.dumps(resource), type=resource["resourceType"], id=resource.get("id"))
                for resource in resources
            )
            yield Group("generated", None, tuple(entries))
            on_progress(report.people, people, report.types.total())

    return load_groups(store, groups()), report


def into_folder(
    folder: Path,
    people: int,
    seed: int,
    *,
    packed: bool = True,
    broken_share: float = BROKEN_SHARE,
    on_progress: Callable[[int, int, int], None] = lambda *_: None,
) -> Report:
    """Write made-up people as `<Type>.ndjson.gz` (or `.ndjson`), one resource a line.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    with ExitStack() as opened:
        files: dict[str, IO[bytes]] = {}
        for resources in generate(people, seed, report, broken_share=broken_share):
            for resource in resources:
                kind = resource["resourceType"]
                if kind not in files:
                    files[kind] = opened.enter_context(_opened(folder, kind, packed=packed))
                files[kind].write(orjson.dumps(resource, option=orjson.OPT_APPEND_NEWLINE))
            on_progress(report.people, people, report.types.total())
    return report


def _opened(folder: Path, kind: str, *, packed: bool) -> IO[bytes]:
    if not packed:
        return (folder / f"{kind}.ndjson").open("wb")
    # Without a time stamp in it, the same seed makes the same bytes.
    return gzip.GzipFile(folder / f"{kind}.ndjson.gz", "wb", compresslevel=1, mtime=0)  # type: ignore[return-value]
