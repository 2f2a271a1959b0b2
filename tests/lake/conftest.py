"""A prepared home a test: its lakes on SQLite catalogs always, on PostgreSQL too where a server is named."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def home(
    request: pytest.FixtureRequest, prepared_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A home whose lakes are made and empty."""
    monkeypatch.setenv("CHARTHOUSE_HOME", str(tmp_path / "home"))
    if request.param == "postgres":
        for name, address in request.getfixturevalue("home_on_postgres").items():
            monkeypatch.setenv(name, address)
    else:
        shutil.copytree(prepared_home, tmp_path / "home")
    get_settings.cache_clear()
    yield tmp_path / "home"
    from charthouse.state.engine import engine

    engine().dispose()
    get_settings.cache_clear()
