"""The files of DuckDB's extensions are checked once a process, and again when others stand in their place."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import duckdb
import pytest

from charthouse.errors import LakeError
from charthouse.lake import session
from charthouse.lake.session import EXTENSIONS, connect, open_records, open_vault, quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """The extensions, where a test may touch them."""
    for name in EXTENSIONS:
        shutil.copy2(str(session._extension_file(name)), tmp_path / f"{name}.duckdb_extension")

    def file_of(name: str) -> Path:
        return tmp_path / f"{name}.duckdb_extension"

    monkeypatch.setattr(session, "_extension_file", file_of)
    return file_of


def flip(file: Path) -> None:
    """Change one byte in the middle."""
    with file.open("r+b") as content:
        content.seek(file.stat().st_size // 2)
        byte = content.read(1)[0] ^ 1
        content.seek(-1, 1)
        content.write(bytes([byte]))


def test_what_comes_into_the_place_of_a_checked_file_is_checked_anew(home: Path, copied: Callable[[str], Path]) -> None:
    for _ in range(2):
        with open_records(read_only=True) as connection:
            assert connection.execute("SELECT count(*) FROM records.vitals").fetchall() == [(0,)]
    flip(copied("ducklake"))
    for _ in range(2):
        with pytest.raises(LakeError, match="CH501"), open_vault(read_only=True):
            pytest.fail("it opened with an extension that nobody signed")
    copied("ducklake").unlink()
    with pytest.raises(LakeError, match="CH501"), open_vault(read_only=True):
        pytest.fail("it opened without its extension")


def test_nothing_that_is_unsigned_is_loaded_into_a_connection_later(home: Path, tmp_path: Path) -> None:
    changed = tmp_path / "another.duckdb_extension"
    shutil.copy(str(session._extension_file("sqlite_scanner")), changed)
    flip(changed)
    for trusting in (False, False, True):  # the first may check, the second knows
        with connect(extensions=["httpfs"], trusting=trusting) as connection:
            with pytest.raises(duckdb.Error, match=r"signature|unsigned"):
                connection.execute(f"LOAD {quoted(str(changed))}")
            with pytest.raises(duckdb.Error, match="while database is running"):
                connection.execute("SET allow_unsigned_extensions = true")
