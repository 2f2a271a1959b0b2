"""A running sandbox with made-up people, and folders to load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.app import App, run, serving

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
