"""Fixtures that every room's tests share: a home of their own, and the night as a user starts it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import URL

# The counterparties of the tests are on this machine.
os.environ.setdefault("CHARTHOUSE_PRIVATE_ADDRESSES", "loopback")

ROOT = Path(__file__).resolve().parent.parent
LONG = ["faults", "end_to_end", "privacy", "sync", "bulk", "dags", "linking", "browser", "api", "lake", "tables"]
"""The rooms whose files take minutes: first, or at the end one worker waits while the other runs a whole night."""
SHARED_DATA = ROOT.parent / "shared" / "data"


def pytest_configure() -> None:
    """What a script starts in the background ignores Ctrl-C, and so would all that the tests start, and stop by it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the rooms; skip what needs the published data sets, a browser or a PostgreSQL where there is none."""
    items.sort(key=_room_order)  # stable: files stay whole
    for item in items:
        if item.get_closest_marker("shared_data") and not SHARED_DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason="the published data sets are not beside the project"))
        if item.get_closest_marker("browser") and shutil.which("chromium") is None:
            item.add_marker(pytest.mark.skip(reason="there is no chromium on this machine"))
        if item.get_closest_marker("redis") and shutil.which("redis-server") is None:
            item.add_marker(pytest.mark.skip(reason="there is no redis-server on this machine"))
        if item.get_closest_marker("postgres") and not os.environ.get("CHARTHOUSE_TEST_POSTGRES_URL"):
            item.add_marker(pytest.mark.skip(reason="CHARTHOUSE_TEST_POSTGRES_URL is not set"))


def _room_order(item: pytest.Item) -> int:
    room = item.path.relative_to(ROOT / "tests").parts[0]
    return LONG.index(room) if room in LONG else len(LONG)


@dataclass(frozen=True)
class Stores:
    """Settings that put the state and both lake catalogs into databases of a PostgreSQL, and the server itself."""

    server: URL
    names: Mapping[str, str]

    @property
    def settings(self) -> dict[str, str]:
        """The variables and their values."""
        server = self.server
        words = {"host": server.host, "port": server.port, "user": server.username, "password": server.password}
        dsn = " ".join(f"{key}={value}" for key, value in words.items() if value)
        state = server.set(database=self.names["state"])
        return {
            "CHARTHOUSE_STATE_URL": state.render_as_string(hide_password=False),
            "CHARTHOUSE_VAULT_CATALOG": f"postgres:{dsn} dbname={self.names['vault']}",
            "CHARTHOUSE_RECORDS_CATALOG": f"postgres:{dsn} dbname={self.names['records']}",
        }


@contextmanager
def databases(template: Stores | None = None) -> Iterator[Stores]:
    """Databases of their own, empty or as those of `template` are; they go at the end of the block."""
    from sqlalchemy import create_engine, make_url, text

    server = make_url(os.environ["CHARTHOUSE_TEST_POSTGRES_URL"])
    made = create_engine(server, isolation_level="AUTOCOMMIT")
    mark = secrets.token_hex(4)
    stores = Stores(server, {store: f"{store}_{mark}" for store in ("state", "vault", "records")})
    with made.connect() as connection:
        for store, name in stores.names.items():
            like = f" TEMPLATE {template.names[store]}" if template else ""
            connection.execute(text(f"CREATE DATABASE {name}{like}"))
    yield stores
    with made.connect() as connection:
        for name in stores.names.values():
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    made.dispose()


@pytest.fixture
def postgres_stores() -> Iterator[dict[str, str]]:
    """Settings that put the state and both lake catalogs into empty PostgreSQL databases of their own."""
    with databases() as stores:
        yield stores.settings


@dataclass(frozen=True)
class Installation:
    """One home, and the `charthouse` command run against it in a process of its own, with the settings of `env`."""

    home: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The environment of the command."""
        return os.environ | {"CHARTHOUSE_HOME": str(self.home), "NO_COLOR": "1"} | dict(self.env)

    def run(
        self, *arguments: str, env: dict[str, str] | None = None, timeout: float = 300, fed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run `charthouse …` to its end, with `fed` on its standard input, and return what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "charthouse", *arguments],
            cwd=ROOT,
            env=self.environment() | (env or {}),
            capture_output=True,
            input=fed,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """What `charthouse … --json` says, read."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query over the records."""
        done = self.run("sql", "--format", "json", query)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def migrated_airflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Gives a home the database of an Airflow that was made ready once for all tests: migrating takes ten seconds."""
    shared = tmp_path_factory.getbasetemp().parent / f"airflow-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    folder = shared / "airflow"
    with FileLock(f"{shared}.lock"):
        if not (folder / "ready").exists():
            program = (
                "from charthouse.operating import airflow_process, home; "
                "airflow_process.make_ready(home.prepare() / 'logs' / 'airflow.log')"
            )
            environment = Installation(shared).environment()
            subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, timeout=300)

    def give(home: Path) -> None:
        target = home / "airflow"
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("airflow.db", "ready"):
            shutil.copy(folder / name, target / name)

    return give


@pytest.fixture(scope="session")
def new_installation(migrated_airflow: Callable[[Path], None]) -> Callable[..., Installation]:
    """Makes an installation at a home of your choice, in which nothing but Airflow's database is ready."""

    def make(home: Path, env: Mapping[str, str] | None = None) -> Installation:
        migrated_airflow(home)
        return Installation(home, env or {})

    return make


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A home in which nothing has happened yet."""
    return Installation(tmp_path / "home")


def _prepare(home: Path, settings: Mapping[str, str] | None = None) -> None:
    """Make a home ready in this process, which forgets it again."""
    from charthouse.operating.home import prepare
    from charthouse.settings import get_settings
    from charthouse.state.engine import engine

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CHARTHOUSE_")]:
            patch.delenv(name)
        for name, value in {"CHARTHOUSE_HOME": str(home), **(settings or {})}.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        prepare()
        engine().dispose()
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as `prepare` leaves it, made once: two databases and two lakes with all their tables take four seconds."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    _prepare(home)
    return home


@pytest.fixture(scope="session")
def prepared_on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Stores]]:
    """The same with its databases on PostgreSQL, which are templates of others."""
    home = tmp_path_factory.mktemp("prepared-on-postgres") / "home"
    with databases() as stores:
        _prepare(home, stores.settings)
        yield home, stores


@pytest.fixture
def home_on_postgres(prepared_on_postgres: tuple[Path, Stores], tmp_path: Path) -> Iterator[dict[str, str]]:
    """Makes the test's `home` one that is prepared on PostgreSQL databases of its own. Returns their settings."""
    prepared, template = prepared_on_postgres
    shutil.copytree(prepared, tmp_path / "home")
    with databases(template) as stores:
        yield stores.settings


@pytest.fixture
def home(prepared_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A prepared home for tests that call the domain in this process."""
    from charthouse.operating.home import prepare
    from charthouse.settings import get_settings

    shutil.copytree(prepared_home, tmp_path / "home")
    monkeypatch.setenv("CHARTHOUSE_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    if {"CHARTHOUSE_STATE_URL", "CHARTHOUSE_VAULT_CATALOG", "CHARTHOUSE_RECORDS_CATALOG"} & os.environ.keys():
        prepare()  # stores of the test's own
    yield tmp_path / "home"
    get_settings.cache_clear()
