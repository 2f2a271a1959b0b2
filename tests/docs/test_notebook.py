"""The notebook runs from its first cell to its last, over people and over nothing, and draws what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.docs.conftest import Analysts

ROOT = Path(__file__).resolve().parents[2]
PICTURES = {"a1c.png", "diagnoses.png", "entries.png", "pressures.png"}


def drawn(home: Path, folder: Path) -> dict[str, bytes]:
    """The pictures that it makes of a home."""
    done = subprocess.run(
        [sys.executable, "notebooks/records.py", str(folder)],
        cwd=ROOT,
        env=os.environ | {"CHARTHOUSE_HOME": str(home)},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_notebook_draws_its_pictures(stocked_home: Analysts, prepared_home: Path, tmp_path: Path) -> None:
    full, empty = drawn(stocked_home.home, tmp_path / "full"), drawn(prepared_home, tmp_path / "empty")
    assert full.keys() == empty.keys() == PICTURES
    for name in PICTURES:
        assert full[name].startswith(b"\x89PNG")
        assert full[name] != empty[name]
        assert len(full[name]) > len(empty[name])  # more is drawn where there is more
