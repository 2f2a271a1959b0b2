"""A running sandbox with made-up people, and folders to load."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.app import App, run, serving
from tests.sandbox.vendor import Vendor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of six made-up people, none of their resources broken."""
    store = tmp_path_factory.mktemp("generated") / "store.sqlite"
    done = run("generate", "--people", "6", "--seed", "5", "--store", str(store), "--broken-share", "0")
    assert done.returncode == 0, done.stderr
    return store


@pytest.fixture(scope="session")
def app(generated: Path) -> Iterator[App]:
    """An app at a running provider with six people."""
    with serving(house=generated) as bases:
        yield App(bases["house"])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes | str | object], Path]:
    """Write a file of a source folder: bytes as they are, other things as JSON. Returns the folder."""
    folder = tmp_path / "source"

    def put(name: str, content: bytes | str | object) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return folder

    return put


@pytest.fixture(scope="session")
def _vendor(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    folder = tmp_path_factory.mktemp("vendor")
    store, clock = folder / "store.sqlite", folder / "clock"
    with closing(sqlite3.connect(generated)) as source, closing(sqlite3.connect(store)) as copy:
        source.backup(copy)
    clock.write_text("0")
    with serving("--clock-file", str(clock), vendor=store) as bases:
        yield Vendor(bases["vendor"], clock=clock)


@pytest.fixture
def vendor(_vendor: Vendor) -> Vendor:
    """A provider whose profile, clients and clock are the test's."""
    _vendor.reset()
    return _vendor


@pytest.fixture
def person(vendor: Vendor) -> str:
    """One of its patients."""
    return vendor.people()[2]
