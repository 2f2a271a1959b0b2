"""A state database a test: on SQLite always, on PostgreSQL too where CHARTHOUSE_TEST_POSTGRES_URL names one."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, make_url, text

from charthouse.linking import links, people, providers
from charthouse.linking.keys import ensure_key
from charthouse.settings import get_settings
from charthouse.state import migrate, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

WORKERS = Path(__file__).with_name("workers.py")
POSTGRES = os.environ.get("CHARTHOUSE_TEST_POSTGRES_URL", "")


@pytest.fixture
def postgres_schema() -> Iterator[str]:
    """The URL of an empty schema of its own."""
    name = f"test_{secrets.token_hex(6)}"
    made = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with made.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    yield (
        make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    )
    with made.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    made.dispose()


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param(
            "postgres",
            marks=[
                pytest.mark.postgres,
                pytest.mark.skipif(not POSTGRES, reason="CHARTHOUSE_TEST_POSTGRES_URL names no database"),
            ],
        ),
    ]
)
def empty(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home whose state database has not been migrated."""
    monkeypatch.setenv("CHARTHOUSE_HOME", str(tmp_path))
    monkeypatch.delenv("CHARTHOUSE_STATE_URL", raising=False)
    if request.param == "postgres":
        monkeypatch.setenv("CHARTHOUSE_STATE_URL", request.getfixturevalue("postgres_schema"))
    get_settings.cache_clear()
    yield tmp_path
    from charthouse.state.engine import engine

    engine().dispose()
    get_settings.cache_clear()


@pytest.fixture
def home(empty: Path) -> Path:
    """A home with a migrated state database, a key, and the provider `clinic`."""
    ensure_key()
    migrate()
    with session() as state:
        providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url="https://clinic.example/fhir")
    return empty


@pytest.fixture
def link(home: Path) -> str:
    """The id of a pending link of a new person with the clinic's patient `patient-canary`."""
    with session() as state:
        person = people.create_person(state)
        return links.start_link(state, person.person_key, "clinic", "direct", patient_id="patient-canary").id


@pytest.fixture(scope="session")
def workers() -> ModuleType:
    """The module that the tests' processes run."""
    spec = importlib.util.spec_from_file_location("state_workers", WORKERS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def at_once(empty: Path) -> Callable[..., list[dict[str, Any]]]:
    """Run deeds of workers.py in processes that start on one signal; what each said, or by which signal it died."""

    def run(*deeds: tuple[str, ...], crash_at: str = "") -> list[dict[str, Any]]:
        gate = empty / f"gate-{secrets.token_hex(4)}"
        environment = {**os.environ, "CHARTHOUSE_CRASH_AT": crash_at}
        running = [
            subprocess.Popen(
                [sys.executable, str(WORKERS), deed, str(gate), *arguments],
                env=environment,
                cwd=WORKERS.parents[2],
                stdout=subprocess.PIPE,
                text=True,
            )
            for deed, *arguments in deeds
        ]
        while not all(Path(f"{gate}.{process.pid}").exists() or process.poll() is not None for process in running):
            time.sleep(0.005)
        gate.touch()
        answers = []
        for process in running:
            said, _ = process.communicate(timeout=60)
            answers.append(json.loads(said) if said else {"killed": -process.returncode})
        return answers

    return run
