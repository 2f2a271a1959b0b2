"""What marks a step as done is on disk, bytes before name: a power cut leaves nothing that looks whole and is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from charthouse.sync import landing
from charthouse.sync.check import RowWriter
from transforms.checking.batches import CHECKED_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable


def rows(folder: Path) -> Path:
    with RowWriter(folder / "checked.parquet", CHECKED_SCHEMA):
        pass
    return folder / "checked.parquet"


def manifest(folder: Path) -> Path:
    said = landing.Manifest(link_id="link", status="complete", queries=(), outcomes=(), not_requested={})
    landing.write_manifest(folder, said)
    return folder / landing.MARKER


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc to read a descriptor's name from")
@pytest.mark.parametrize("write", [rows, manifest], ids=lambda write: write.__name__)
def test_the_bytes_are_on_disk_before_the_name(
    write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def seen(descriptor: int) -> None:
        real(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", seen)
    file = write(tmp_path)
    assert f"{file.name}.part" in synced
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc to read a descriptor's name from")
def test_the_pages_of_a_landing_are_on_disk_before_its_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.pages", "b.pages"):
        writer = landing.PageWriter(tmp_path / name)
        writer.add(b"{}")
        writer.finish()
    synced: list[str] = []
    real = os.fsync

    def seen(descriptor: int) -> None:
        real(descriptor)
        assert not (tmp_path / landing.MARKER).exists() or synced[-1] == f"{landing.MARKER}.part"
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", seen)
    manifest(tmp_path)
    assert synced[:2] == ["a.pages", "b.pages"]
